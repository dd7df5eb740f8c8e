package nfdump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flowgraf/flowgraf/outputs/waitlog"
	"github.com/flowgraf/flowgraf/plugins/collector"
)

// stateFile is what the decoder knows of the exporters, in the state directory.
const stateFile = "exporters.json"

// stateInterval is how often the state is written at most: with many exporters it is
// large, and a set whose template went with a kill waits on the disk for the next.
const stateInterval = 10 * time.Second

// stateDirectory is where the decoder's state is kept, and what waits for its
// templates: beside the archive, for nfdump -R stops at foreign files.
func (p *Nfdump) stateDirectory() string {
	if p.StateDirectory != "" {
		return p.StateDirectory
	}
	return filepath.Clean(p.Directory) + ".state"
}

// restore gives the decoder the templates and option tables of the last run.
// Without them flows wait for the exporters' next templates, so what fails here is
// a warning.
func (p *Nfdump) restore() {
	if err := p.decoder.LoadKnown(filepath.Join(p.stateDirectory(), stateFile)); err != nil {
		p.warnf("reading the templates of the last run: %v; they are learned anew from there on", err)
	}
	p.saved = p.decoder.Revision()
	p.resume = true
	p.takeCounters()
}

// saveState writes what the decoder knows to the disk.
func (p *Nfdump) saveState() {
	dir, revision := p.stateDirectory(), p.decoder.Revision()
	p.savedAt = time.Now()
	var list []collector.Datagram
	p.decoder.Known(func(dg collector.Datagram) { list = append(list, dg) })
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = collector.SaveKnown(filepath.Join(dir, stateFile), list)
	}
	if err == nil {
		p.saved, p.toldState = revision, false
	} else if !p.toldState {
		p.toldState = true
		p.warnf("templates are not kept for the next start, set state_directory to a directory that can be written: %v",
			err)
	}
}

// openWaiting opens the log of sets that wait for their templates, and takes back
// what a kill has left half done. Without it they wait in memory.
func (p *Nfdump) openWaiting() {
	p.closeWaiting()
	var err error
	p.waiting, err = waitlog.Open(p.stateDirectory(), waitlog.Options{
		Sync: p.Fsync == "batch", Every: p.syncEvery,
		Failed: func(err error) { p.errorf("writing the sets that wait to the disk: %v", err) },
	})
	if err != nil {
		p.waiting = nil
		p.warnf("sets without a template wait in memory only, for a minute: %v", err)
	}
}

// keepWaiting sees to it that the log is where the next start looks for it.
func (p *Nfdump) keepWaiting() {
	if p.waiting == nil {
		return
	}
	err := p.waiting.Present()
	if err != nil && !p.toldWaiting {
		p.errorf("%s has been removed, and cannot be made anew: a kill takes the sets that wait for a template: %v%s",
			p.waiting.Path(), err, advice(err))
	}
	p.toldWaiting = err != nil
}

// closeWaiting closes the log.
func (p *Nfdump) closeWaiting() {
	if p.waiting != nil {
		if err := p.waiting.Close(); err != nil {
			p.errorf("%v", err)
		}
		p.waiting = nil
	}
}

// endWaiting makes permanent what a Write has changed of the log, or drops it.
func (p *Nfdump) endWaiting(commit bool) {
	if p.waiting == nil {
		return
	}
	p.resume = !commit
	if !commit {
		p.waiting.Rollback()
	} else if err := p.waiting.Commit(); err != nil {
		p.errorf("keeping sets without a template: %v", err)
	}
}

// checkState tells whether what is kept beside the archive could be written. The directory
// is made when it is not there.
func (p *Nfdump) checkState() error {
	probe, err := os.MkdirTemp(p.stateDirectory(), ".check-")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Remove(probe)
	}
	if err != nil {
		return fmt.Errorf("state_directory: cannot write in it: %w", err)
	}
	return nil
}
