package smtpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// certificateCheck is the least time between two looks at the files.
const certificateCheck = time.Minute

// maxPEM is the size in octets of a certificate or key file that is read.
const maxPEM = 4 << 20

// certificate is a listener's certificate from files that may be renewed while the
// relay runs.
type certificate struct {
	certFile, keyFile string
	mon               *monitor.Monitor

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // of the newer file, when current was read
	looked  time.Time
}

// TLSConfig makes a server's configuration from PEM files: TLS 1.2 or newer. A
// renewed certificate is taken within a minute; one that cannot be read leaves the
// old one in use and is logged.
func TLSConfig(certFile, keyFile string, mon *monitor.Monitor) (*tls.Config, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, mon: mon}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}, nil
}

// load reads the files. The caller holds mu or is alone.
func (c *certificate) load() error {
	if c.certFile == "" || c.keyFile == "" {
		return errors.New("tls_cert and tls_key: expected two files in PEM form")
	}
	changed := c.newest()
	cert, err := storage.ReadFile(c.certFile, maxPEM)
	if err != nil {
		return fmt.Errorf("tls_cert: %w", err)
	}
	key, err := storage.ReadFile(c.keyFile, maxPEM)
	if err != nil {
		return fmt.Errorf("tls_key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("tls_cert %q and tls_key %q: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.changed, c.looked = &pair, changed, time.Now()
	return nil
}

func (c *certificate) newest() (t time.Time) {
	for _, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil && info.ModTime().After(t) {
			t = info.ModTime()
		}
	}
	return t
}

func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateCheck {
		return c.current
	}
	c.looked = time.Now()
	if !c.newest().Equal(c.changed) {
		if err := c.load(); err != nil {
			c.mon.LimitedWarnf("certificate", "the certificate in use stays: %v", err)
		}
	}
	return c.current
}
