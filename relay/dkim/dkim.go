// Package dkim signs mails (RFC 6376, and RFC 8463 for Ed25519 keys): relaxed for
// header and body, an explicit list of fields, and From, Subject, To and Date signed
// once more than they occur, so that nobody can add another. go-msgauth does the
// cryptography. The octets signed are those that leave: nothing may change a mail
// after Sign.
package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// fields are signed where they are; the first ones once more than that.
var (
	oversigned = []string{"From", "Subject", "To", "Date"}
	fields     = []string{
		"Sender", "Reply-To", "Cc", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	}
)

// minRSABits is the least that RFC 8301 lets verifiers accept.
const minRSABits = 1024

// maxKeyFile is the size in octets of a key file that is read.
const maxKeyFile = 1 << 20

// Signer signs mails of one domain and those below it. It is safe for concurrent
// use.
type Signer struct {
	domain, selector string
	key              crypto.Signer
	identity         []byte
}

// Identity is the same for signers with the same key. A nil Signer has none.
func (s *Signer) Identity() []byte {
	if s == nil {
		return nil
	}
	return s.identity
}

// New reads the key, PEM in PKCS #8 or PKCS #1 form. The error names the option.
func New(domain, selector, keyFile string) (*Signer, error) {
	ascii, err := address.ConfiguredDomain(domain)
	if err != nil {
		return nil, fmt.Errorf("dkim_domain: %w", err)
	}
	if _, err := address.ParseDomain(selector + "." + ascii); err != nil || selector == "" {
		return nil, fmt.Errorf(`dkim_selector is %q: expected a name such as "mail"`, selector)
	}
	b, err := storage.ReadFile(keyFile, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("dkim_key: %w", err)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("dkim_key: %q: %w", keyFile, err)
	}
	sum := sha256.Sum256(b)
	return &Signer{domain: ascii, selector: selector, key: key, identity: sum[:]}, nil
}

func parseKey(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("expected a private key in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, errors.New("expected a private key in PKCS #8 or PKCS #1 form")
		}
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("RSA key of %d bits, expected at least %d", k.N.BitLen(), minRSABits)
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("key of kind %T, expected RSA or Ed25519", key)
}

// Sign gives the message with a signature in front. A message whose From is of
// another domain comes back as it is. Lines end with CRLF.
func (s *Signer) Sign(message []byte) ([]byte, error) {
	if s == nil {
		return message, nil
	}
	header, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return message, fmt.Errorf("signing: %w", err)
	}
	if !s.covers(header.Header) {
		return message, nil
	}
	signer, err := dkim.NewSigner(&dkim.SignOptions{
		Domain: s.domain, Selector: s.selector, Signer: s.key, HeaderKeys: keys(header.Header),
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err == nil {
		_, err = signer.Write(message)
	}
	if err == nil {
		err = signer.Close()
	}
	if err != nil {
		return message, fmt.Errorf("signing: %w", err)
	}
	return append([]byte(signer.Signature()), message...), nil
}

// covers tells whether all authors are of the domain or below it.
func (s *Signer) covers(header mail.Header) bool {
	authors, err := header.AddressList("From")
	if err != nil {
		return false
	}
	for _, a := range authors {
		domain := strings.ToLower(a.Address[strings.LastIndexByte(a.Address, '@')+1:])
		if domain != s.domain && !strings.HasSuffix(domain, "."+s.domain) {
			return false
		}
	}
	return true
}

// keys lists what is signed.
func keys(header mail.Header) []string {
	var all []string
	add := func(name string, more int) {
		for range len(header[textproto.CanonicalMIMEHeaderKey(name)]) + more {
			all = append(all, name)
		}
	}
	for _, name := range oversigned {
		add(name, 1)
	}
	for _, name := range fields {
		add(name, 0)
	}
	return all
}
