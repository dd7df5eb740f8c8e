package web

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// Inventory is what a user's file says of hosts and interfaces: names that no exporter tells, as
// of virtual machines, and the speeds of lines.
type Inventory struct {
	hosts      map[netip.Addr]string
	interfaces map[interfaceKey]Line
}

// interfaceKey names an interface of an exporter by SNMP's index.
type interfaceKey struct {
	exporter netip.Addr
	index    uint32
}

// Line is what is known of an interface.
type Line struct {
	Name  string
	Speed uint64 // bits a second; 0 is not known
}

// The bounds of an inventory.
const (
	maxInventory     = 100_000 // lines
	maxInventoryLine = 1024    // bytes
)

// ParseInventory reads an inventory: lines as
//
//	host 192.0.2.10 web1
//	interface 198.51.100.1 3 10G uplink
//
// where the interface is SNMP's index at an exporter, a speed that is not known is -, and what is
// behind it is the name. Lines that are empty or begin with # do not count.
func ParseInventory(r io.Reader) (*Inventory, error) {
	inv := &Inventory{map[netip.Addr]string{}, map[interfaceKey]Line{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxInventoryLine)
	n := 0
	for lines.Scan() {
		if n++; n > maxInventory {
			return nil, fmt.Errorf("line %d: more than %d lines", n, maxInventory)
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := inv.addLine(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return inv, nil
}

// addLine reads a line.
func (inv *Inventory) addLine(line string) error {
	word := func() (w string) {
		w, line, _ = strings.Cut(strings.TrimLeft(line, " \t"), " ")
		return strings.TrimSpace(w)
	}
	line = strings.ReplaceAll(line, "\t", " ")
	kind, text := word(), word()
	if !utf8.ValidString(line) {
		return fmt.Errorf("%q: expected UTF-8", line)
	}
	addr, err := netip.ParseAddr(text)
	if kind != "host" && kind != "interface" || err != nil {
		return fmt.Errorf("%.80q: expected host ADDRESS NAME, or interface EXPORTER INDEX SPEED NAME", kind+" "+text)
	}
	addr = addr.Unmap()
	if kind == "host" {
		name := strings.TrimSpace(line)
		if name == "" {
			return fmt.Errorf("host %s: expected a name behind it", addr)
		}
		inv.hosts[addr] = name
		return nil
	}
	index, err := strconv.ParseUint(word(), 10, 32)
	if err != nil {
		return fmt.Errorf("interface %s: expected the number that SNMP has for it", addr)
	}
	speed, err := parseSpeed(word())
	if err != nil {
		return fmt.Errorf("interface %s %d: %w", addr, index, err)
	}
	inv.interfaces[interfaceKey{addr, uint32(index)}] = Line{strings.TrimSpace(line), speed}
	return nil
}

// parseSpeed reads bits a second: 10G; - is not known.
func parseSpeed(text string) (uint64, error) {
	if text == "-" {
		return 0, nil
	}
	const prefixes = "kMGT"
	factor, number := 1.0, text
	if at := strings.IndexByte(prefixes, lastByte(text)); at >= 0 {
		for range at + 1 {
			factor *= 1000
		}
		number = text[:len(text)-1]
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v <= 0 || v*factor > 1e16 || strings.ContainsAny(number, "eExXpPnN_+") {
		return 0, fmt.Errorf("speed %.40q: expected bits a second, as 100M, 2.5G or 10G, or - where it is not known", text)
	}
	return uint64(v * factor), nil
}

// lastByte returns the last byte of a text, 0 of an empty one.
func lastByte(text string) byte {
	if text == "" {
		return 0
	}
	return text[len(text)-1]
}

// watchedFile is a file that is read again when it has changed.
type watchedFile[T any] struct {
	path string
	read func(path string) (T, error)

	mu    sync.Mutex
	have  T
	err   error       // of the last reading
	seen  fs.FileInfo // of the last reading
	tried time.Time
}

// lookPause is how long what is known of a file counts.
const lookPause = 2 * time.Second

// get returns what the file had when it could be read last, and what is wrong with it now.
func (w *watchedFile[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" || time.Since(w.tried) < lookPause {
		return w.have, w.err
	}
	w.tried = time.Now()
	info, err := os.Stat(w.path)
	if err != nil {
		w.err, w.seen = err, nil
		return w.have, w.err
	}
	if disk.Unchanged(w.seen, info) {
		return w.have, w.err
	}
	w.seen = info
	have, err := w.read(w.path)
	if w.err = err; err == nil {
		w.have = have
	}
	return w.have, w.err
}

// ReadInventory reads the file of an inventory.
func ReadInventory(path string) (*Inventory, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	inv, err := ParseInventory(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return inv, nil
}

// host returns the name of an address, "" where there is none.
func (inv *Inventory) host(addr netip.Addr) string {
	if inv == nil {
		return ""
	}
	return inv.hosts[addr.Unmap()]
}

// line returns what is known of an interface.
func (inv *Inventory) line(exporter netip.Addr, index uint32) Line {
	if inv == nil {
		return Line{}
	}
	return inv.interfaces[interfaceKey{exporter.Unmap(), index}]
}
