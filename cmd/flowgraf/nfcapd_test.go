package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeDirectory makes a directory below dir and returns its path.
func makeDirectory(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNfcapdLines: command lines of nfcapd 1.6 and 1.7 become configurations that load
// and that the plugins take.
func TestNfcapdLines(t *testing.T) {
	dir := t.TempDir()
	makeDirectory(t, dir, "a")
	makeDirectory(t, dir, "b")
	limited := makeDirectory(t, dir, "limited")
	if err := os.WriteFile(filepath.Join(limited, ".nfstat"),
		[]byte("maxsize=1073741824\nlifetime=86400\nwatermark=90\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"-w -D -l TMP/a -p 23456": `service_address = "udp://:23456"|` +
			`directory = "TMP/a"|` +
			`compression = "none"|rotation_interval = "300s"`,
		"-D -l TMP/a -w -p 23456 -t 60": `directory = "TMP/a"|service_address = "udp://:23456"|` +
			`rotation_interval = "60s"`,
		"-l TMP/a -wD":               `directory = "TMP/a"`,
		"-w TMP/a -D":                `directory = "TMP/a"|ident = "none"`,
		"-wTMP/a -S1 -I upstream -y": `directory = "TMP/a"|subdir_layout = 1|ident = "upstream"|compression = "lz4"`,
		"-w TMP/a -z":                `compression = "lzo"`,
		"-w TMP/a -j":                `compression = "bz2"`,
		"-w TMP/a -z=zstd:9":         `compression = "zstd:9"`,
		"-w TMP/a -z=lz4":            `compression = "lz4"`,
		"-M TMP/a -b 192.0.2.1 -4": `directory = "TMP/a"|split = "address"|` +
			`service_address = "udp4://192.0.2.1:9995"`,
		"-w TMP/a -6 -b 2001:db8::1": `service_address = "udp6://[2001:db8::1]:9995"`,
		"-n r1,192.0.2.1,TMP/a -n r2,192.0.2.2;2001:db8::/32,TMP/b": `ident = "r1"|directory = "TMP/a"|` +
			`address = "192.0.2.1"|addresses = ["192.0.2.2", "2001:db8::/32"]|unknown_exporters = "refuse"`,
		"-w TMP/a -s 1000":               `sampling_rate = 1000|sampling = "default"|address = "::/0"`,
		"-w TMP/a -s -1000 -p 9996":      `sampling_rate = 1000|sampling = "override"|udp://:9996`,
		"-w TMP/a -B 200000 -T all -v 3": `read_buffer_size = "200000B"`,
		"-w TMP/limited -e":              `max_size = "1073741824B"|max_age = "24h0m0s"|watermark = 90`,
		`-w TMP/a -x 'CMD %d/%f'`:        `command = ["/bin/ship", "%d/%f"]`,
		"-w TMP/a -P TMP/pid -u nobody":  `directory = "TMP/a"`,
	} {
		line = strings.ReplaceAll(strings.ReplaceAll(line, "TMP", dir), "CMD", "/bin/ship")
		args, err := commandWords(line)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseNfcapd(args, 9995)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		file := filepath.Join(t.TempDir(), "telegraf.conf")
		if err := c.writeConfig(file); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(strings.ReplaceAll(want, "TMP", dir), "|") {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: no %s in\n%s", line, part, text)
			}
		}
		if strings.Contains(line, "/bin/ship") {
			continue // which is not there
		}
		loaded, err := new(snapshot).load(trialConfig(), []string{file}, true)
		if err == nil {
			err = initPlugins(loaded)
		}
		if err != nil {
			t.Errorf("%s: %v in\n%s", line, err, text)
		}
	}
}

// TestNfcapdRefused: what cannot be done is refused by the name of the option.
func TestNfcapdRefused(t *testing.T) {
	dir := makeDirectory(t, t.TempDir(), "a")
	for line, want := range map[string]string{
		"":                           "expected one of -w DIR",
		"-w":                         "-w: expected the directory",
		"-w -D -p 23456":             "-w: expected the directory",
		"-w TMP -M TMP":              "expected one of -w DIR",
		"-w TMP/none":                "expected a directory that exists",
		"-w TMP -R 192.0.2.1/9995":   "-R: datagrams are not sent on",
		"-w TMP -J 239.0.0.1":        "-J: groups of multicast",
		"-w TMP -Z":                  "-Z: names have no time zone",
		"-w TMP -f packets.pcap":     "-f: files of packets",
		"-w TMP -E":                  "-E: flows are not printed",
		"-w TMP -m /run/s":           "-m: ",
		"-w TMP -e":                  "-e: TMP has no limits yet",
		"-w TMP -p":                  "-p: expected a value",
		"-w TMP -p -D":               "-p: expected a value",
		"-w TMP -p x":                `-p is "x": expected a number from 1 to 65535`,
		"-w TMP -z=gzip":             `-z: unknown compression "gzip": expected`,
		"-w TMP -S 9":                "expected a number from 0 to 8",
		"-w TMP -n x":                "-n is \"x\": expected IDENT,ADDRESS,DIRECTORY",
		"-n a,host,TMP":              `"host" is neither an address nor a network`,
		"-w TMP -k":                  "-k is no option of nfcapd's",
		"-w TMP --frobnicate":        "expected an option of nfcapd",
		"-w TMP more":                `expected an option of nfcapd, got "more"`,
		"-w TMP -4 -b 2001:db8::1":   "asks for the other family",
		"-w TMP -p 514 -u nobody":    "only root may open",
		"-w TMP -x 'no end":          "",
		"-w TMP -n a,192.0.2.1,TMP ": "expected one of -w DIR",
	} {
		if want == "" {
			if _, err := commandWords(line); err == nil {
				t.Errorf("%s is taken", line)
			}
			continue
		}
		args, err := commandWords(strings.ReplaceAll(line, "TMP", dir))
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseNfcapd(args, 9995)
		if err == nil {
			err = c.writeConfig(filepath.Join(t.TempDir(), "conf"))
		}
		if want = strings.ReplaceAll(want, "TMP", dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}
