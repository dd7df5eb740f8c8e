package main

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/outputs/web"
)

// demoPage is the page over the demo's archive.
type demoPage struct {
	listener net.Listener
	archive  *web.Archive
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// startPage serves an archive on a free port of loopback, with what the agent's state tells.
func startPage(dir, state string) (*demoPage, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	archive, err := web.OpenArchive(dir, "", time.Local, func(string, ...any) {}) // the next look tells the same
	if err != nil {
		return nil, err
	}
	server, err := web.New(archive, web.Options{Version: versionString(), State: state})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &demoPage{listener: listener, archive: archive, cancel: cancel}
	p.running.Go(func() { archive.Watch(ctx) })
	p.running.Go(func() { server.Serve(ctx, listener) }) // ends with the context
	return p, nil
}

// address returns the address of the page.
func (p *demoPage) address() string { return "http://" + p.listener.Addr().String() + "/" }

// stop ends it. There may be none.
func (p *demoPage) stop() {
	if p == nil {
		return
	}
	p.cancel()
	p.running.Wait()
	p.archive.Close()
}
