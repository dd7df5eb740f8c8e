package flowmetric

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PEN names vendors' elements, as the files of private_enterprise_number_files
// do. The zero value names none.
type PEN struct {
	elements map[elementKey]stockField
}

// penKinds are the types that a file may give.
var penKinds = [...]struct {
	name string
	kind kind
}{
	{"bool", kindBool}, {"int", kindInt}, {"uint", kindUint}, {"float32", kindFloat32}, {"float64", kindFloat64},
	{"hex", kindHex}, {"string", kindString}, {"mac", kindMAC}, {"ip", kindIP}, {"proto", kindProto},
}

// LoadPEN reads mapping files: CSV lines of <PEN>.<element id>, name and type,
// with # in front of a comment. Types are bool, int, uint, float32, float64, hex,
// string, mac, ip and proto. An element may be named once only.
func LoadPEN(files ...string) (PEN, error) {
	p := PEN{elements: map[elementKey]stockField{}}
	for _, name := range files {
		if err := p.load(name); err != nil {
			return PEN{}, fmt.Errorf("private_enterprise_number_files: %w", err)
		}
	}
	return p, nil
}

// Len returns the number of named elements.
func (p PEN) Len() int { return len(p.elements) }

func (p PEN) load(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = 3
	rows, err := r.ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, row := range rows {
		key, err := parseElement(row[0])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, ok := p.elements[key]; ok {
			return fmt.Errorf("%s: element %s is named twice", name, row[0])
		}
		if row[1] == "" {
			return fmt.Errorf("%s: element %s: expected a name", name, row[0])
		}
		k, err := parseKind(strings.TrimSpace(row[2]))
		if err != nil {
			return fmt.Errorf("%s: element %s: %w", name, row[0], err)
		}
		p.elements[key] = stockField{name: row[1], kind: k}
	}
	return nil
}

// parseElement reads "<PEN>.<element id>".
func parseElement(s string) (elementKey, error) {
	pen, id, ok := strings.Cut(strings.TrimSpace(s), ".")
	p, err1 := strconv.ParseUint(pen, 10, 32)
	i, err2 := strconv.ParseUint(id, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return elementKey{}, fmt.Errorf("key %q does not match pattern <PEN>.<element-id>; maybe wrong file", s)
	}
	return elementKey{pen: uint32(p), id: uint16(i)}, nil
}

func parseKind(s string) (kind, error) {
	for _, k := range penKinds {
		if k.name == s {
			return k.kind, nil
		}
	}
	return 0, fmt.Errorf("expected a type of bool, int, uint, float32, float64, hex, string, mac, ip or proto, got %q",
		s)
}

// name returns name and kind of an element that the stock table does not have.
func (p PEN) name(pen uint32, id uint16, v9 bool) stockField {
	prefix := ""
	if reverse(pen, id, v9) {
		prefix, id = "rev_", id&^reverseBit
	}
	if f, ok := p.elements[elementKey{pen: pen, id: id}]; ok && pen != 0 {
		return stockField{name: prefix + f.name, kind: f.kind, share: shared} // whatever name the file gives
	}
	if pen != 0 {
		return stockField{name: fmt.Sprintf("type_%d_%s%d", pen, prefix, id), kind: kindHex}
	}
	if f := lookup(id); f[0].name != "" {
		return stockField{name: prefix + f[0].name, kind: f[0].kind, share: f[0].share}
	}
	return stockField{name: prefix + fmt.Sprintf("type_%d", id), kind: kindHex}
}

// numbered says whether a name is type_<id> or type_<pen>_<id>.
func numbered(name string) bool {
	rest, ok := strings.CutPrefix(name, "type_")
	if !ok {
		return false
	}
	pen, id, two := strings.Cut(rest, "_")
	if two {
		if _, err := strconv.ParseUint(pen, 10, 32); err != nil {
			return false
		}
		rest = strings.TrimPrefix(id, "rev_")
	}
	_, err := strconv.ParseUint(rest, 10, 16)
	return err == nil
}
