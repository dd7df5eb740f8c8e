package relay

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/flowgraf/flowgraf/relay/rewrite"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// maxPEM is the size in octets of a file of certificates that is read.
const maxPEM = 16 << 20

// configureTLS makes what connections to smarthosts are verified by, unless Delivery has
// it.
func (r *Relay) configureTLS() error {
	if r.opts.Delivery.TLSConfig != nil {
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	r.opts.Delivery.TLSConfig = c
	certErr := r.clientCertificate(c)
	if r.opts.TLSCA == "" {
		return certErr
	}
	pem, err := storage.ReadFile(r.opts.TLSCA, maxPEM)
	if err != nil {
		return errors.Join(certErr, fmt.Errorf("tls_ca: %w", err))
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return errors.Join(certErr, fmt.Errorf("tls_ca: %q has no certificate in PEM form", r.opts.TLSCA))
	}
	r.hide(string(pem))
	return certErr
}

// clientCertificate makes the relay show its certificate to smarthosts that ask for one.
func (r *Relay) clientCertificate(c *tls.Config) error {
	cert, key := r.opts.SmarthostCert, r.opts.SmarthostKey
	switch {
	case cert == "" && key == "":
		return nil
	case cert == "" || key == "":
		return errors.New("smarthost_tls_cert and smarthost_tls_key: expected both, or none")
	}
	read := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("smarthost_tls_cert %q and smarthost_tls_key %q: %w", cert, key, err)
		}
		return &pair, nil
	}
	for _, name := range []string{cert, key} { // before they are read, which a FIFO would block
		if _, err := storage.ReadFile(name, maxPEM); err != nil {
			return fmt.Errorf("smarthost_tls_cert, smarthost_tls_key: %w", err)
		}
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	_, err := read()
	return err
}

// readSenders adds the users' addresses of the file to those of the options, which win.
func (r *Relay) readSenders() error {
	if r.opts.SenderAddressesFile == "" {
		return nil
	}
	f, err := storage.Open(r.opts.SenderAddressesFile)
	if err != nil {
		return fmt.Errorf("sender_addresses_file: %w", err)
	}
	defer f.Close()
	all, err := rewrite.ReadSenders(f)
	if err != nil {
		return fmt.Errorf("sender_addresses_file: %s: %w", r.opts.SenderAddressesFile, err)
	}
	for user, a := range r.opts.SenderAddresses {
		all[strings.ToLower(user)] = a
	}
	r.opts.SenderAddresses = all
	return nil
}

// readAliases adds the aliases of the file to those of the options, which win.
func (r *Relay) readAliases() error {
	if r.opts.AliasesFile == "" {
		return nil
	}
	f, err := storage.Open(r.opts.AliasesFile)
	if err != nil {
		return fmt.Errorf("aliases_file: %w", err)
	}
	defer f.Close()
	all, err := rewrite.ReadAliases(f)
	if err != nil {
		return fmt.Errorf("aliases_file: %s: %w", r.opts.AliasesFile, err)
	}
	for name, targets := range r.opts.Aliases {
		all[strings.ToLower(name)] = targets
	}
	r.opts.Aliases = all
	return nil
}

// hide makes values part of the relay's identity that its options do not show.
func (r *Relay) hide(values ...string) {
	sum := sha256.New()
	fmt.Fprint(sum, r.hidden)
	for _, value := range values {
		fmt.Fprintf(sum, "%d:%s", len(value), value)
	}
	r.hidden = hex.EncodeToString(sum.Sum(nil))
}

// hideSecrets makes logins part of the relay's identity.
func (r *Relay) hideSecrets() {
	l := r.opts.Login
	r.hide(l.Username, l.TokenFile, l.PasswordFile, l.Mechanism, l.Over, secretValue(l.Password))
	for _, u := range r.opts.Users {
		r.hide(u.Name, u.PasswordHash, secretValue(u.Password))
	}
}

// secretValue gives a secret, or why it cannot be read; that is told when it is needed.
func secretValue(get func() (string, error)) string {
	if get == nil {
		return ""
	}
	value, err := get()
	if err != nil {
		return err.Error()
	}
	return value
}
