package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/delivery"
)

// Smarthosts are greeted, with the encryption that a delivery would have, and no mail is sent.
func TestProbe(t *testing.T) {
	a := newAuthority(t)
	trusted := x509.NewCertPool()
	trusted.AddCert(a.cert)
	plain := newSink(t, "127.0.0.1:0")
	encrypted := newSinkWith(t, "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, "localhost", time.Now().Add(time.Hour))}})
	expired := newSinkWith(t, "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, "localhost", time.Now().Add(-time.Hour))}})
	port := func(k *sink) string { return "smtp://localhost" + k.addr[strings.LastIndex(k.addr, ":"):] }
	for _, tt := range []struct {
		name string
		host string
		mode delivery.TLSMode
		want string
	}{
		{"plain", port(plain), delivery.TLSNone, ""},
		{"plain where TLS is required", port(plain), "", "STARTTLS is not offered"},
		{"verified", port(encrypted), delivery.TLSRequired, ""},
		{"expired", port(expired), delivery.TLSRequired, "certificate has expired"},
		{"expired, unverified", port(expired), delivery.TLSOpportunistic, ""},
		{"down", "smtp://127.0.0.1:1", delivery.TLSNone, "refused"},
		{"a place", "file://" + t.TempDir() + "/mail", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := testOptions(t, "127.0.0.1:1")
			opts.Smarthosts = []string{tt.host}
			opts.Delivery = delivery.Options{TLS: tt.mode, TLSConfig: &tls.Config{RootCAs: trusted}}
			r, err := New(opts)
			if err != nil {
				t.Fatal(err)
			}
			err = r.Probe(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if n := len(plain.got()) + len(encrypted.got()) + len(expired.got()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
}

// One mail goes by the smarthosts, whatever the policy; what they say is told.
func TestSendTest(t *testing.T) {
	k := newSink(t, "127.0.0.1:0")
	k.refuse["nobody@example.org"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1},
		Message: "no such user"}
	opts := testOptions(t, k.addr)
	answer, err := SendTest(t.Context(), opts, "noc@example.org")
	if err != nil || !strings.Contains(answer, "250") {
		t.Errorf("%q, %v", answer, err)
	}
	if got := k.await(t, 1)[0]; got.from != "flowgraf@relay.example.com" || fmt.Sprint(got.to) != "[noc@example.org]" ||
		!strings.Contains(got.body, "Subject: test mail of flowgraf on relay.example.com\r\n") {
		t.Errorf("%+v", got)
	}
	if _, err := SendTest(t.Context(), opts, "nobody@example.org"); err == nil ||
		!strings.Contains(err.Error(), "550") {
		t.Errorf("a refusal: %v", err)
	}
	if _, err := SendTest(t.Context(), opts, "no address"); err == nil {
		t.Error("no address was taken")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := SendTest(ctx, testOptions(t, "127.0.0.1:1"), "noc@example.org"); err == nil {
		t.Error("nobody listens, and no error")
	}
}
