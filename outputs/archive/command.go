package archive

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Complete is a file that has got its name.
type Complete struct {
	Dir   string    // of the archive
	File  string    // relative to Dir, with the sub-directory
	Slot  time.Time // its start, in the time of the names
	Ident string
}

// Command runs a program after each complete file: as nfcapd's -x, without a
// shell. Runs come one after the other.
type Command struct {
	args   []string
	limit  time.Duration
	errorf func(format string, args ...any)

	queue chan Complete
	wg    sync.WaitGroup
	ctx   context.Context // ends when Stop has waited long enough
	end   context.CancelFunc

	Runs, Failures, Skipped atomic.Uint64
}

// maxWaiting is how many runs wait for those before; further ones are skipped.
const maxWaiting = 64

// placeholders are what stands for a file in the arguments of a Command.
const placeholders = "dftui%"

// NewCommand returns a Command that runs args, of which the first is the program.
// In the others stand %d for the archive's directory, %f for the file in it, %t for
// the slot as YYYYmmddHHMM, %u in seconds since 1970, %i for the ident, and %% for
// a percent sign. A run that takes longer than limit is killed, with all that it has
// started.
func NewCommand(args []string, limit time.Duration, errorf func(string, ...any)) (*Command, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("command: a time limit of %s, expected more than 0", limit)
	}
	for _, arg := range args {
		for i := 0; i < len(arg); i++ {
			if arg[i] != '%' {
				continue
			}
			if i++; i == len(arg) || !strings.Contains(placeholders, arg[i:i+1]) {
				return nil, fmt.Errorf("command: unknown placeholder in %q, expected %%d %%f %%t %%u %%i or %%%%", arg)
			}
		}
	}
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("command: no program is given")
	}
	return &Command{args: args, limit: limit, errorf: errorf}, nil
}

// expand puts a file into an argument.
func (c Complete) expand(arg string) string {
	return strings.NewReplacer("%d", c.Dir, "%f", c.File, "%t", c.Slot.Format("200601021504"),
		"%u", strconv.FormatInt(c.Slot.Unix(), 10), "%i", c.Ident, "%%", "%").Replace(arg)
}

// Start begins to run.
func (c *Command) Start() {
	c.queue = make(chan Complete, maxWaiting)
	c.ctx, c.end = context.WithCancel(context.Background())
	queue := c.queue
	c.wg.Go(func() {
		for file := range queue {
			if c.ctx.Err() != nil {
				c.skip(file, "it had to end")
				continue
			}
			c.runFor(file)
		}
	})
}

// Add lets the program run for a file. When too many wait, the file is skipped and
// counted.
func (c *Command) Add(file Complete) {
	select {
	case c.queue <- file:
	default:
		c.skip(file, fmt.Sprintf("%d runs are waiting", maxWaiting))
	}
}

// skip counts a file for which the program does not run.
func (c *Command) skip(file Complete, why string) {
	c.Skipped.Add(1)
	c.errorf("command not run for %s: %s", file.File, why)
}

// Stop waits for the runs that were added, all together as long as one may take.
// Further ones are skipped.
func (c *Command) Stop() {
	if c.queue == nil {
		return
	}
	close(c.queue)
	c.queue = nil
	timer := time.AfterFunc(c.limit, c.end)
	c.wg.Wait()
	timer.Stop()
	c.end()
}

// runFor runs the program once.
func (c *Command) runFor(file Complete) {
	ctx, cancel := context.WithTimeout(c.ctx, c.limit)
	defer cancel()
	args := make([]string, len(c.args))
	for i, arg := range c.args {
		args[i] = file.expand(arg)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = file.Dir
	cmd.WaitDelay = time.Second
	killWithChildren(cmd)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	c.Runs.Add(1)
	if err == nil {
		return
	}
	c.Failures.Add(1)
	if ctx.Err() != nil {
		err = fmt.Errorf("killed after %s", c.limit)
	}
	c.errorf("command %s for %s: %v; it said %q", args[0], file.File, err, out.b)
}

// tail keeps the first bytes that a program writes.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), 500-len(t.b))]...)
	return len(p), nil
}
