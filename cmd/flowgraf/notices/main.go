// Command notices writes the licences of all modules that are linked into flowgraf, on
// any of the systems it is built for, and of the modules in its page, into one text:
//
//	go generate ./cmd/flowgraf
//
// It reads what the modules themselves carry (LICENSE, COPYING, NOTICE and the like) and
// names the licence by its wording. It fails where a module carries none, or one that it
// does not know.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// systems are those whose dependencies are listed.
var systems = []string{"linux", "darwin", "windows", "freebsd"}

// module is a linked module.
type module struct {
	path, version, dir string
	licences           []string // identifiers of SPDX
	text               string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("notices: ")
	if len(os.Args) != 3 {
		log.Fatal("expected a package and a file to write: notices PACKAGE FILE")
	}
	modules, err := linked(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		log.Fatal(err)
	}
	scripts, err := vendored(filepath.Join(os.Args[1], "../../outputs/web/vendored"))
	if err != nil {
		log.Fatal(err)
	}
	modules = append(modules, scripts...)
	modules = append(modules, module{path: "go", version: "(runtime and standard library)",
		dir: strings.TrimSpace(string(root))})
	for i := range modules {
		if err := modules[i].readLicence(); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile(os.Args[2], render(modules), 0o644); err != nil {
		log.Fatal(err)
	}
}

// linked returns the modules of the packages that a package needs, sorted by path.
func linked(pkg string) ([]module, error) {
	found := map[string]module{}
	for _, system := range systems {
		cmd := exec.Command("go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", pkg)
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list of %s for %s: %w", pkg, system, err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
				found[f[0]] = module{path: f[0], version: f[1], dir: f[2]}
			}
		}
	}
	var list []module
	for _, m := range found {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return list, nil
}

// vendored returns the modules of npm that are in the page of flowgraf web: those of
// modules.txt, whose licences are below licences.
func vendored(dir string) ([]module, error) {
	text, err := os.ReadFile(filepath.Join(dir, "modules.txt"))
	if err != nil {
		return nil, err
	}
	var list []module
	for line := range strings.Lines(string(text)) {
		name, version, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return nil, fmt.Errorf("%s/modules.txt: %q: expected a name and a version", dir, line)
		}
		list = append(list, module{path: "npm/" + name, version: "v" + version,
			dir: filepath.Join(dir, "licences", name)})
	}
	return list, nil
}

// carried are the names of files with licences and notices.
var carried = regexp.MustCompile(`(?i)^(licen[sc]e|copying|copyright|notice|patents|unlicense)([-.].*)?$`)

// chosen are the files with the licence under which flowgraf takes a module that offers
// several.
var chosen = map[string]string{
	"github.com/eclipse/paho.golang":      "edl-v10", // or EPL-2.0; the other is BSD-3-Clause
	"github.com/eclipse/paho.mqtt.golang": "edl-v10",
}

// readLicence reads the module's licences.
func (m *module) readLicence() error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	var text strings.Builder
	for _, e := range entries {
		wanted := carried.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go")
		if file := chosen[m.path]; file != "" {
			wanted = e.Name() == file
		}
		if e.IsDir() || !wanted {
			continue
		}
		b, err := os.ReadFile(filepath.Join(m.dir, e.Name()))
		if err != nil {
			return err
		}
		b = bytes.ReplaceAll(bytes.ToValidUTF8(b, []byte("?")), []byte("\r\n"), []byte("\n"))
		text.WriteString(strings.TrimSpace(string(b)) + "\n\n")
	}
	m.text = strings.TrimSpace(text.String())
	if m.licences = identify(m.text); len(m.licences) == 0 {
		return fmt.Errorf("%s %s: no licence that is known in %s", m.path, m.version, m.dir)
	}
	return nil
}

// wordings tell the licences apart. All white space is a blank, all letters are small.
var wordings = []struct{ id, words, without string }{
	{"Apache-2.0", "apache license version 2.0", ""},
	{"MPL-2.0", "mozilla public license version 2.0", ""},
	{"AGPL", "gnu affero general public license version", "mozilla public license"},
	{"LGPL", "gnu lesser general public license version", "mozilla public license"},
	{"GPL", "gnu general public license version", "mozilla public license"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy", ""},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", ""},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose with or without fee", ""},
	{"BSD-3-Clause", "may be used to endorse or promote products derived from", ""},
	{"BSD-2-Clause", "redistribution and use in source and binary forms",
		"may be used to endorse or promote products derived from"},
	{"CC0-1.0", "cc0 1.0 universal", ""},
	{"Unlicense", "this is free and unencumbered software released into the public domain", ""},
}

var punctuation = regexp.MustCompile(`[\s,*#/]+`)

// identify returns the licences whose wording is in text.
func identify(text string) (ids []string) {
	plain := func(s string) string { return punctuation.ReplaceAllString(strings.ToLower(s), " ") }
	text = plain(text)
	for _, w := range wordings {
		if strings.Contains(text, plain(w.words)) && (w.without == "" || !strings.Contains(text, plain(w.without))) &&
			!slices.Contains(ids, w.id) {
			ids = append(ids, w.id)
		}
	}
	return ids
}

// render writes the list of modules, and each text once, with the modules that it is of.
func render(modules []module) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "flowgraf contains these modules of others.\n\n")
	users := map[string][]string{}
	var texts []string
	for _, m := range modules {
		fmt.Fprintf(&b, "%s %s %s\n", m.path, m.version, strings.Join(m.licences, "+"))
		if users[m.text] == nil {
			texts = append(texts, m.text)
		}
		users[m.text] = append(users[m.text], m.path)
	}
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), text)
	}
	return b.Bytes()
}
