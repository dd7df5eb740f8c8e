// Command paint opens a page of flowgraf web in chromium some times, each time with nothing
// in its cache, and prints the medians of what the browser measured from the click on: the
// first byte of the page, the first paint of any text, the first one of the page itself with
// what the API says, and that of all graphs. The browser comes from another answer of the same
// server, so that starting one of its processes is not part of it.
//
//	paint URL [RUNS]
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// measure waits for the graphs, and returns milliseconds since the navigation began.
const measure = `new Promise(done => {
	let page = 0;
	const look = () => {
		if (!page && document.querySelector("main[data-page]")) page = performance.now();
		if (document.querySelectorAll(".chart canvas").length < 12) { requestAnimationFrame(look); return; }
		requestAnimationFrame(() => done([
			performance.getEntriesByType("navigation")[0].responseStart,
			performance.getEntriesByName("first-contentful-paint")[0].startTime, page, performance.now()]));
	};
	look();
})`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "paint URL [RUNS]: expected the address of a page")
		os.Exit(2)
	}
	runs := 5
	if len(os.Args) > 2 {
		runs, _ = strconv.Atoi(os.Args[2])
	}
	if err := paint(os.Args[1], max(1, runs)); err != nil {
		fmt.Fprintln(os.Stderr, "paint:", err)
		os.Exit(1)
	}
}

// paint prints the medians of so many runs.
func paint(url string, runs int) error {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(1440, 1000), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	before := strings.TrimSuffix(strings.Split(url, "#")[0], "/") + "/api/v1/openapi.json"
	var took [4][]float64
	for run := range runs + 1 { // the first warms the browser up and does not count
		var v []float64
		err := chromedp.Run(ctx, network.ClearBrowserCache(), chromedp.Navigate(before), chromedp.Navigate(url),
			chromedp.Evaluate(measure, &v, awaited))
		if err != nil {
			return err
		}
		for i := range took {
			if run > 0 {
				took[i] = append(took[i], v[i])
			}
		}
	}
	for i, what := range []string{"first byte", "first contentful paint", "the page with its head",
		"all twelve graphs"} {
		slices.Sort(took[i])
		fmt.Printf("%-24s %4.0f ms\n", what, took[i][len(took[i])/2])
	}
	return nil
}

// awaited makes the browser wait for a promise.
func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
