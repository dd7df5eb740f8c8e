// Command generate writes table.go of package flow from the tags of Record: the
// constants of its fields, what they are, and how they are read and set. Run it with
// go generate in the directory of package flow.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"log"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/ie"
)

// field is a field of Record with tags.
type field struct {
	member  string // of the struct
	typ     string
	name    string // of the constant
	metric  string
	kind    string
	unit    string
	pair    string
	one     bool
	flags   []string // constants behind it that are no field
	sources []source
}

// source is an element that fills a field.
type source struct {
	pen   uint64
	id    uint64
	form  string
	index int
	keep  bool
	name  string
}

func main() {
	log.SetFlags(0)
	file, err := parser.ParseFile(token.NewFileSet(), "record.go", nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	var fields, names []field
	for _, of := range []struct {
		name string
		list *[]field
	}{{"Record", &fields}, {"Names", &names}} {
		if *of.list, err = readFields(file, of.name); err != nil {
			log.Fatalf("record.go: %s: %v", of.name, err)
		}
	}
	text := table(fields)
	labels(&text, names)
	src, err := format.Source(text.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("table.go", src, 0o644); err != nil {
		log.Fatal(err)
	}
}

// structure returns the struct type of a name.
func structure(file *ast.File, name string) (*ast.StructType, error) {
	for _, d := range file.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range d.Specs {
			if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.Name == name {
				if s, ok := spec.Type.(*ast.StructType); ok {
					return s, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("expected a struct of this name")
}

// readFields returns the fields of a struct that have tags.
func readFields(file *ast.File, name string) ([]field, error) {
	s, err := structure(file, name)
	if err != nil {
		return nil, err
	}
	var fields []field
	for _, member := range s.Fields.List {
		if member.Tag == nil {
			continue
		}
		f, err := tagged(member)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member.Names[0], err)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// kinds are the kinds of fields, and of which Go types they are where no tag says it.
var kinds = map[string]string{
	"netip.Addr": "Address", "[6]byte": "MAC", "Time": "Timestamp", "[]byte": "Octets", "[12]byte": "Octets",
	"[4]uint16": "List", "string": "Text", "uint8": "Number", "uint16": "Number", "uint32": "Number",
	"uint64": "Number",
}

// tagged reads the tags of one field.
func tagged(member *ast.Field) (field, error) {
	var typ bytes.Buffer
	if err := format.Node(&typ, token.NewFileSet(), member.Type); err != nil {
		return field{}, err
	}
	text, err := strconv.Unquote(member.Tag.Value)
	if err != nil {
		return field{}, err
	}
	tag := reflect.StructTag(text)
	f := field{member: member.Names[0].Name, typ: typ.String(), pair: tag.Get("pair"), unit: tag.Get("unit")}
	f.name, f.kind = f.member, kinds[f.typ]
	if c := tag.Get("const"); c != "" {
		f.name = c
	}
	f.flags = strings.Fields(tag.Get("also"))
	if f.kind == "Timestamp" {
		f.unit = "milliseconds"
	}
	metric, options, _ := strings.Cut(tag.Get("flow"), ",")
	f.metric = metric
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "":
		case "one":
			f.one = true
		case "flags", "text", "label":
			f.kind = strings.ToUpper(option[:1]) + option[1:]
		default:
			return field{}, fmt.Errorf("unknown option %q: expected one, flags, text or label", option)
		}
	}
	if f.kind == "" {
		return field{}, fmt.Errorf("no kind for the type %s", f.typ)
	}
	for item := range strings.FieldsSeq(tag.Get("ie")) {
		s, err := parse(item)
		if err != nil {
			return field{}, err
		}
		f.sources = append(f.sources, s)
	}
	return f, nil
}

// parse reads one element of the tag ie.
func parse(item string) (source, error) {
	var s source
	number, form, _ := strings.Cut(item, "=")
	number, s.keep = strings.CutPrefix(number, "+")
	pen, id, vendor := strings.Cut(number, "/")
	if !vendor {
		pen, id = "0", pen
	}
	s.keep = s.keep || vendor
	var err error
	if s.pen, err = strconv.ParseUint(pen, 10, 32); err != nil {
		return s, err
	}
	if s.id, err = strconv.ParseUint(id, 10, 16); err != nil {
		return s, err
	}
	s.form = "Whole"
	e, ok := ie.Lookup(uint32(s.pen), uint16(s.id))
	if s.pen == ie.ReversePEN {
		e, ok = ie.Lookup(0, uint16(s.id))
		e.Name = "reverse of " + e.Name
	}
	if ok {
		s.name = e.Name
		switch e.Type {
		case ie.DateTimeSeconds:
			s.form = "Seconds"
		case ie.DateTimeMilliseconds:
			s.form = "Milliseconds"
		case ie.DateTimeMicroseconds, ie.DateTimeNanoseconds:
			s.form = "NTP"
		}
	} else if s.name = "NetFlow v9"; s.pen != 0 || s.id < 1<<15 {
		return s, fmt.Errorf("element %s is not in the registry", item)
	}
	switch form {
	case "":
	case "inner", "high", "low", "before", "uptime", "v9":
		s.form = strings.ToUpper(form[:1]) + form[1:]
	default:
		if s.index, err = strconv.Atoi(form); err != nil {
			return s, fmt.Errorf("%s: expected inner, high, low, before, uptime, v9 or the index of a list's item "+
				"behind =", item)
		}
		s.form = "Item"
	}
	return s, nil
}

// size is the bytes of a value of a field, or of each in a list; 0 where they vary.
func (f *field) size() int {
	if f.kind == "Label" {
		return 3
	}
	switch f.typ {
	case "[6]byte":
		return 6
	case "[12]byte":
		return 12
	case "uint8":
		return 1
	case "uint16", "[4]uint16":
		return 2
	case "uint32":
		return 4
	case "uint64", "Time":
		return 8
	}
	return 0
}

// table returns the file.
func table(fields []field) (out bytes.Buffer) {
	out.WriteString("// Code generated by generate from the tags of Record; DO NOT EDIT.\n\n")
	out.WriteString("package flow\n\nimport \"net/netip\"\n\n")
	out.WriteString("// The fields of a Record, in its order.\nconst (\n")
	first := " Field = iota"
	for i := range fields {
		for _, name := range append([]string{fields[i].name}, fields[i].flags...) {
			fmt.Fprintf(&out, "%s%s\n", name, first)
			first = ""
		}
	}
	out.WriteString("numFields\n)\n\n// NumFields is the number of fields.\nconst NumFields = int(numFields)\n\n")
	descriptions(&out, fields)
	uses(&out, fields)
	numbers(&out, fields)
	others(&out, fields)
	items(&out, fields)
	turned(&out, fields)
	return out
}

// labels writes what Names has.
func labels(out *bytes.Buffer, names []field) {
	fmt.Fprintf(out, "\n// NumLabels is how many names Names has.\nconst NumLabels = %d\n\n", len(names))
	out.WriteString("var labels = [NumLabels]string{\n")
	for i := range names {
		fmt.Fprintf(out, "%q,\n", names[i].metric)
	}
	out.WriteString("}\n\n// Label returns one of the names.\nfunc (n *Names) Label(l Label) string {\nswitch l {\n")
	for i := range names {
		fmt.Fprintf(out, "case %d:\nreturn n.%s\n", i, names[i].member)
	}
	out.WriteString("}\nreturn \"\"\n}\n")
}

// descriptions writes what each field is.
func descriptions(out *bytes.Buffer, fields []field) {
	out.WriteString("// descriptions are what the fields are.\nvar descriptions = [NumFields]Description{\n")
	for i := range fields {
		f := &fields[i]
		pair := f.pair
		if pair == "" {
			pair = f.name
		}
		fmt.Fprintf(out, "%s: {%q, %q, Kind%s, %d, %q, %s, %t},\n",
			f.name, f.name, f.metric, f.kind, f.size(), f.unit, pair, f.one)
		for _, flag := range f.flags {
			fmt.Fprintf(out, "%s: {Const: %q, Kind: KindMark, Pair: %s},\n", flag, flag, flag)
		}
	}
	out.WriteString("}\n\n")
}

// uses writes what each element fills, sorted by element and then by the order of the
// fields.
func uses(out *bytes.Buffer, fields []field) {
	type use struct {
		source
		field string
		rank  int
	}
	var all []use
	for i := range fields {
		for rank, s := range fields[i].sources {
			all = append(all, use{s, fields[i].name, rank})
		}
	}
	slices.SortStableFunc(all, func(a, b use) int {
		if a.pen != b.pen {
			return int(a.pen) - int(b.pen)
		}
		return int(a.id) - int(b.id)
	})
	fmt.Fprintf(out, "// uses are the elements that fill fields, sorted by element.\nvar uses = [%d]Use{\n", len(all))
	for _, u := range all {
		fmt.Fprintf(out, "{%d, %d, %s, Form%s, %d, %d, %t}, // %s\n",
			u.pen, u.id, u.field, u.form, u.index, u.rank, u.keep, u.name)
	}
	out.WriteString("}\n\n")
}

// maxCases is how many fields one of the functions that the generator writes has: it
// divides the fields among several where there are more.
const maxCases = 44

// numbers writes Number and SetNumber.
func numbers(out *bytes.Buffer, fields []field) {
	var list []*field
	for i := range fields {
		if f := &fields[i]; f.getNumber() != "" {
			list = append(list, f)
		}
	}
	divided(out, list, "// Number returns the value of a field as a number: a time in milliseconds since 1970, a MAC\n"+
		"// as its 48 bits, the first item of a list. It is 0 for other fields, and for those that r lacks.\n",
		"Number", "(f Field) uint64", "(f)", "return 0\n", (*field).getNumber)
	divided(out, list, "// SetNumber sets a field to a number as Number returns it, of which it keeps as many bits\n"+
		"// as it has. Present stays as it is.\n",
		"SetNumber", "(f Field, v uint64)", "(f, v)", "", (*field).setNumber)
}

// divided writes a method of Record that has a case for each field, and ends with others
// where there is none; of more than maxCases it calls a further method. Params and args are
// those of each.
func divided(out *bytes.Buffer, fields []*field, comment, method, params, args, others string, do func(*field) string) {
	part := strings.ToLower(method[:1]) + method[1:]
	for n := 0; len(fields) > 0; n++ {
		here := fields[:min(len(fields), maxCases)]
		fields = fields[len(here):]
		if n == 0 {
			fmt.Fprintf(out, "%sfunc (r *Record) %s%s {\nswitch f {\n", comment, method, params)
		} else {
			fmt.Fprintf(out, "// %s%d has further fields.\nfunc (r *Record) %s%d%s {\nswitch f {\n", part, n, part, n,
				params)
		}
		for _, f := range here {
			fmt.Fprintf(out, "case %s:\n%s\n", f.name, do(f))
		}
		switch {
		case len(fields) == 0:
			fmt.Fprintf(out, "}\n%s}\n\n", others)
		case others == "":
			fmt.Fprintf(out, "default:\nr.%s%d%s\n}\n}\n\n", part, n+1, args)
		default:
			fmt.Fprintf(out, "}\nreturn r.%s%d%s\n}\n\n", part, n+1, args)
		}
	}
}

// getNumber returns the statement that returns a field as a number, "" where it is none.
func (f *field) getNumber() string {
	switch {
	case f.kind == "Timestamp":
		return "return r." + f.member + ".Milli()"
	case f.kind == "MAC":
		return "return macNumber(&r." + f.member + ")"
	case f.kind == "Label" || f.kind == "List":
		return "return uint64(r." + f.member + "[0])"
	case f.typ == "uint64":
		return "return r." + f.member
	case strings.HasPrefix(f.typ, "uint"):
		return "return uint64(r." + f.member + ")"
	}
	return ""
}

// setNumber returns the statement that sets such a field.
func (f *field) setNumber() string {
	to := "r." + f.member
	switch {
	case f.kind == "Timestamp":
		return to + " = Milli(v)"
	case f.kind == "MAC":
		return to + " = macOf(v)"
	case f.kind == "Label":
		return to + "[0] = uint32(v)"
	case f.kind == "List":
		return to + "[0] = uint16(v)"
	case f.typ == "uint64":
		return to + " = v"
	}
	return to + " = " + f.typ + "(v)"
}

// others writes how addresses, and what has bytes, are read and set.
func others(out *bytes.Buffer, fields []field) {
	out.WriteString("// Addr returns the value of a field that is an address, an invalid one for all others.\n" +
		"func (r *Record) Addr(f Field) netip.Addr {\nswitch f {\n")
	for i := range fields {
		if f := &fields[i]; f.kind == "Address" {
			fmt.Fprintf(out, "case %s:\nreturn r.%s\n", f.name, f.member)
		}
	}
	out.WriteString("}\nreturn netip.Addr{}\n}\n\n// SetAddr sets a field that is an address.\n" +
		"func (r *Record) SetAddr(f Field, a netip.Addr) {\nswitch f {\n")
	for i := range fields {
		if f := &fields[i]; f.kind == "Address" {
			fmt.Fprintf(out, "case %s:\nr.%s = a\n", f.name, f.member)
		}
	}
	out.WriteString("}\n}\n\n")
	out.WriteString("// Octets returns the bytes of a MAC, a text or octets, nil for other fields. They are r's.\n" +
		"func (r *Record) Octets(f Field) []byte {\nswitch f {\n")
	for i := range fields {
		switch f := &fields[i]; f.typ {
		case "[]byte":
			fmt.Fprintf(out, "case %s:\nreturn r.%s\n", f.name, f.member)
		case "[6]byte", "[12]byte":
			fmt.Fprintf(out, "case %s:\nreturn r.%s[:]\n", f.name, f.member)
		}
	}
	out.WriteString("}\nreturn nil\n}\n\n")
	out.WriteString("// SetOctets sets a MAC, a text or octets. What has no fixed length keeps the slice.\n" +
		"func (r *Record) SetOctets(f Field, b []byte) {\nswitch f {\n")
	for i := range fields {
		switch f := &fields[i]; f.typ {
		case "[]byte":
			fmt.Fprintf(out, "case %s:\nr.%s = b\n", f.name, f.member)
		case "[6]byte", "[12]byte":
			fmt.Fprintf(out, "case %s:\ncopy(r.%s[:], b)\n", f.name, f.member)
		}
	}
	out.WriteString("}\n}\n\n")
}

// items writes how the items of lists are read and set.
func items(out *bytes.Buffer, fields []field) {
	out.WriteString("// Item returns an item of a field that is a list or a stack of labels, 0 of other fields.\n" +
		"func (r *Record) Item(f Field, i uint8) uint64 {\nswitch {\n")
	for i := range fields {
		if f := &fields[i]; f.kind == "Label" || f.kind == "List" {
			fmt.Fprintf(out, "case f == %s && int(i) < len(r.%s):\nreturn uint64(r.%s[i])\n", f.name, f.member,
				f.member)
		}
	}
	out.WriteString("}\nreturn 0\n}\n\n" +
		"// SetItem sets an item of such a field. Those beyond its length are dropped.\n" +
		"func (r *Record) SetItem(f Field, i uint8, v uint64) {\nswitch {\n")
	for i := range fields {
		if f := &fields[i]; f.kind == "Label" || f.kind == "List" {
			_, typ, _ := strings.Cut(f.typ, "]")
			fmt.Fprintf(out, "case f == %s && int(i) < len(r.%s):\nr.%s[i] = %s(v)\n", f.name, f.member, f.member, typ)
		}
	}
	out.WriteString("}\n}\n\n")
}

// turned writes the fields that come in pairs, and how they are exchanged.
func turned(out *bytes.Buffer, fields []field) {
	members := map[string]string{}
	for i := range fields {
		members[fields[i].name] = fields[i].member
	}
	var pairs [][2]string
	for i := range fields {
		f := &fields[i]
		other := slices.IndexFunc(fields, func(o field) bool { return o.name == f.pair })
		if f.pair == "" {
			continue
		}
		if other < 0 || fields[other].pair != f.name || fields[other].typ != f.typ {
			log.Fatalf("%s: expected %q to be a field of the same type with the pair %s", f.name, f.pair, f.name)
		}
		if i < other {
			pairs = append(pairs, [2]string{f.name, f.pair})
		}
	}
	out.WriteString("// pairs are the fields that are one value for each direction.\n")
	fmt.Fprintf(out, "var pairs = [%d][2]Field{\n", len(pairs))
	for _, p := range pairs {
		fmt.Fprintf(out, "{%s, %s},\n", p[0], p[1])
	}
	out.WriteString("}\n\n// Turn exchanges the fields that are one value for each direction.\n" +
		"func (r *Record) Turn() {\n")
	for _, p := range pairs {
		a, b := members[p[0]], members[p[1]]
		fmt.Fprintf(out, "r.%s, r.%s = r.%s, r.%s\n", a, b, b, a)
	}
	out.WriteString("r.Present.turn()\n}\n")
}
