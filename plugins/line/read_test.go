package line

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
)

// readBack reads a line with InfluxData's own decoder: the measurement, its tags and its
// fields in their order, as "key=value".
func readBack(t *testing.T, text []byte) (name string, tags, fields []string) {
	t.Helper()
	d := lineprotocol.NewDecoderWithBytes(text)
	for d.Next() {
		m, err := d.Measurement()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		name = string(m)
		for {
			key, value, err := d.NextTag()
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if key == nil {
				break
			}
			tags = append(tags, string(key)+"="+string(value))
		}
		for {
			key, value, err := d.NextField()
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if key == nil {
				break
			}
			fields = append(fields, string(key)+"="+value.Kind().String()+" "+asText(value))
		}
		if _, err := d.Time(lineprotocol.Nanosecond, time.Time{}); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	return name, tags, fields
}

func asText(v lineprotocol.Value) string {
	switch x := v.Interface().(type) {
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case uint64:
		return strconv.FormatUint(x, 10)
	case int64:
		return strconv.FormatInt(x, 10)
	case bool:
		return strconv.FormatBool(x)
	}
	return "?"
}

// Values come back with their type: an unsigned counter that is read as a signed one or
// as a float is refused by a database that knows the field as unsigned, and a counter
// above 2^53 would lose its last digits.
func TestValuesComeBack(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{uint64(0), "uint 0"}, {uint64(math.MaxUint64), "uint 18446744073709551615"},
		{int64(math.MinInt64), "int -9223372036854775808"}, {int64(7), "int 7"},
		{1.5, "float 1.5"}, {1e300, "float 1e+300"}, {-0.0001, "float -0.0001"}, {3.0, "float 3"},
		{math.SmallestNonzeroFloat64, "float 5e-324"},
		{true, "bool true"}, {false, "bool false"},
		{"", "string "}, {`say "hi"`, `string say "hi"`}, {`C:\temp\`, `string C:\temp\`},
		{"two\nlines, a=b", "string two\nlines, a=b"}, {"Zürich", "string Zürich"},
	} {
		b := AppendValue([]byte("m,t=1 f="), c.in)
		_, _, fields := readBack(t, append(b, '\n'))
		if len(fields) != 1 || fields[0] != "f="+c.want {
			t.Errorf("%v is written %q and read as %q, want %q", c.in, b, fields, c.want)
		}
	}
}

// What line protocol has no form for is left out, so that the rest of the line is read.
func TestWhatHasNoFormIsLeftOut(t *testing.T) {
	for _, v := range []any{math.NaN(), math.Inf(1), math.Inf(-1), nil, []byte("x"), int32(1), struct{}{}} {
		if b := AppendValue([]byte("f="), v); string(b) != "f=" {
			t.Errorf("%v is written %q", v, b)
		}
	}
}

// Names with the characters that have a meaning in a line come back whole, from text and
// from bytes alike: an interface "a,b=c d" must not become a tag of its own.
func TestNamesComeBack(t *testing.T) {
	for _, name := range []string{"plain", "a b", "a,b", "a=b", "a,b=c d", " ", ",", "=", "Gi0/1", `a"b`, `a\b`,
		"Zürich 東京", "a,", "b ", "c="} {
		b := AppendName(nil, name)
		b = append(AppendKey(append(b, ','), name), '=')
		b = append(AppendKey(b, []byte(name)), ' ')
		b = append(AppendKey(b, name), "=1i 1\n"...)
		measurement, tags, fields := readBack(t, b)
		if measurement != name {
			t.Errorf("measurement %q is read as %q from %q", name, measurement, b)
		}
		if len(tags) != 1 || tags[0] != name+"="+name {
			t.Errorf("tag %q is read as %q from %q", name, tags, b)
		}
		if len(fields) != 1 || fields[0] != name+"=int 1" {
			t.Errorf("field %q is read as %q from %q", name, fields, b)
		}
		if got := AppendName(nil, []byte(name)); string(got) != string(AppendName(nil, name)) {
			t.Errorf("%q is another measurement as bytes: %q", name, got)
		}
	}
}

// A character that ends a line is a backslash and a letter: as it is, the rest of a name
// would be read as a line of its own, with values of the sender's choice.
func TestNamesStayOnTheirLine(t *testing.T) {
	for in, want := range map[string]string{"a\nb": `a\nb`, "\t": `\t`, "x\r\n": `x\r\n`, "\fq": `\fq`,
		"a\n\n": `a\n\n`} {
		if got := string(AppendKey(nil, in)); got != want {
			t.Errorf("key %q is %q, want %q", in, got, want)
		}
		if got := string(AppendName(nil, in)); got != want {
			t.Errorf("name %q is %q, want %q", in, got, want)
		}
	}
}

// Plain is true of exactly the texts that are written as they are and read back: callers
// append these without a look at each byte.
func TestPlainIsWrittenAsItIs(t *testing.T) {
	for text, want := range map[string]bool{"eth0": true, "": false, "a b": false, "a,b": false, "a=b": false,
		"a\n": false, "a\t": false, "a\r": false, "a\f": false, `a\`: false, `a\b`: true, `"`: true, "é": true} {
		if got := Plain(text); got != want {
			t.Errorf("Plain(%q) = %v", text, got)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	const letters = "ab ,=\\\"\t\n"
	for range 3000 {
		var sb strings.Builder
		for range rng.IntN(6) {
			sb.WriteByte(letters[rng.IntN(len(letters))])
		}
		text := sb.String()
		if !Plain(text) {
			continue
		}
		if got := string(AppendKey(nil, text)); got != text {
			t.Fatalf("%q is plain and written as %q", text, got)
		}
		if _, tags, _ := readBack(t, []byte("m,t="+text+" f=1i 1\n")); len(tags) != 1 || tags[0] != "t="+text {
			t.Fatalf("%q is plain and read as %q", text, tags)
		}
	}
}

// Whatever bytes an exporter calls an interface, the line has one tag of that name, and
// it is the text that Tag says.
func TestTagsOfAnyBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		raw := make([]byte, 1+rng.IntN(8))
		for i := range raw {
			raw[i] = byte(rng.Uint32())
			if rng.IntN(3) == 0 {
				raw[i] = " ,=\\\n\x00\x7fé"[rng.IntN(9)]
			}
		}
		text := Tag(string(raw))
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\t\x00\x7f") || strings.HasSuffix(text, `\`) {
			t.Fatalf("%q is %q as a tag", raw, text)
		}
		if again := Tag(text); again != text {
			t.Fatalf("%q is %q as a tag, and that %q", raw, text, again)
		}
		if text == "" {
			continue
		}
		b := append(AppendKey([]byte("m,t="), text), " f=1i 1\n"...)
		if _, tags, _ := readBack(t, b); len(tags) != 1 || tags[0] != "t="+text {
			t.Fatalf("%q is read as %q from %q", text, tags, b)
		}
	}
}

// Nothing is allocated where the buffer is large enough: lines are written for every
// flow.
func TestLinesAreWrittenWithoutAllocation(t *testing.T) {
	buf := make([]byte, 0, 256)
	value := any(uint64(123456789))
	if n := testing.AllocsPerRun(200, func() {
		b := AppendName(buf, "net flow")
		b = AppendKey(b, "in,interface")
		b = AppendString(b, `a "quoted" text`)
		_ = AppendValue(b, value)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
