package flowmetric

import (
	"fmt"
	"testing"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/influxdata/telegraf/plugins/parsers/influx"

	"github.com/flowgraf/flowgraf/plugins/line"
)

// What line.Tag makes of a text is a tag's value for Telegraf's parser and for package
// lineprotocol: of each byte, in front, between and behind letters, and of odd ones
// together.
func TestTagsAreRead(t *testing.T) {
	var telegraf influx.Parser
	if err := telegraf.Init(); err != nil {
		t.Fatal(err)
	}
	texts := []string{"Gi0/1\x00old-text", `C:\`, `a\\`, "été", "a\xffb", "\x01", "a, b=c\\,d", "line\r\nline",
		"\u0085x"}
	for c := range 256 {
		b := string([]byte{byte(c)})
		texts = append(texts, b+"x", "x"+b+"y", "x"+b)
	}
	for _, text := range texts {
		want := line.Tag(text)
		if want == "" {
			continue // no tag
		}
		row := fmt.Sprintf("m,t=%s v=1i 1", line.AppendKey(nil, want))
		metrics, err := telegraf.Parse([]byte(row + "\n"))
		if err != nil || len(metrics) != 1 {
			t.Errorf("%q: Telegraf does not take %q: %v", text, row, err)
			continue
		}
		if got, _ := metrics[0].GetTag("t"); got != want {
			t.Errorf("%q: Telegraf reads %q as %q, want %q", text, row, got, want)
		}
		d := lineprotocol.NewDecoderWithBytes([]byte(row))
		if !d.Next() {
			t.Fatal("no line")
		}
		_, err = d.Measurement()
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := d.NextTag(); err != nil || string(got) != want {
			t.Errorf("%q: lineprotocol reads %q as %q, want %q: %v", text, row, got, want, err)
		}
	}
}
