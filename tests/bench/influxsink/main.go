// Command influxsink is a server that answers what outputs.influxdb_v2 writes with 204, for
// the benchmarks, and appends the lines to a file: influxsink ADDRESS FILE
package main

import (
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
)

func main() {
	file, err := os.OpenFile(os.Args[2], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	var mu sync.Mutex
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := lines(r)
		if err == nil {
			mu.Lock()
			_, err = file.Write(text)
			mu.Unlock()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})))
}

// lines returns the body of a request.
func lines(r *http.Request) ([]byte, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	return io.ReadAll(body)
}
