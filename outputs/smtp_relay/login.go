package smtp_relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/rewrite"
	"github.com/flowgraf/flowgraf/relay/smtpd"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// verifiers makes of each user what tells a right password.
func (p *SMTPRelay) verifiers() (map[string]smtpd.Verifier, error) {
	users := map[string]smtpd.Verifier{}
	for i := range p.Users {
		u := &p.Users[i]
		if u.Name == "" || users[u.Name] != nil {
			return nil, fmt.Errorf("user %q: expected a name, each once", u.Name)
		}
		if (u.PasswordHash == "") == u.Password.Empty() {
			return nil, fmt.Errorf(`user %q: expected either "password_hash" or "password"`, u.Name)
		}
		if u.PasswordHash == "" {
			users[u.Name] = p.secretVerifier(u)
			continue
		}
		verifier, err := smtpd.Hash(u.PasswordHash)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", u.Name, err)
		}
		users[u.Name] = verifier
	}
	return users, nil
}

// hidden gives a sum of all options that the relay does not see as values: secrets, and
// what stands in the file of certificates.
func (p *SMTPRelay) hidden() (string, error) {
	sum := sha256.New()
	add := func(parts ...string) {
		for _, part := range parts {
			fmt.Fprintf(sum, "%d:%s", len(part), part)
		}
	}
	add(p.Username, p.TokenFile, p.PasswordFile, p.SmarthostAuth, p.TLSCA)
	if p.TLSCA != "" {
		pem, err := storage.ReadFile(p.TLSCA, maxPEM)
		if err != nil {
			return "", fmt.Errorf("tls_ca: %w", err)
		}
		add(string(pem))
	}
	secrets := []*config.Secret{&p.Password}
	for i := range p.Users {
		add(p.Users[i].Name, p.Users[i].PasswordHash)
		secrets = append(secrets, &p.Users[i].Password)
	}
	for _, secret := range secrets {
		if secret.Empty() {
			add("")
			continue
		}
		value, err := secret.Get()
		if err != nil { // told when it is needed
			add(err.Error())
			continue
		}
		add(value.String())
		value.Destroy()
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// credentials gives what tells delivery how to log in, nil when there is nothing to
// tell.
func (p *SMTPRelay) credentials() (func(delivery.Smarthost) (*delivery.Credentials, error), error) {
	switch p.SmarthostAuthOver {
	case "", "tls", "any":
	default:
		return nil, fmt.Errorf(`smarthost_auth_over is %q: expected "tls" or "any"`, p.SmarthostAuthOver)
	}
	mechanism := strings.ToUpper(p.SmarthostAuth)
	if mechanism == "AUTO" {
		mechanism = ""
	}
	if mechanism != "" && !slices.Contains(delivery.Mechanisms, mechanism) {
		return nil, fmt.Errorf(`smarthost_auth is %q: expected "auto", "plain", "login", "cram-md5" or "xoauth2"`,
			p.SmarthostAuth)
	}
	named := p.Username != ""
	switch {
	case p.PasswordFile != "" && named:
		return nil, errors.New(`smarthost_username and smarthost_password_file: expected one of them`)
	case p.PasswordFile != "":
		if _, err := readPasswords(p.PasswordFile, "", mechanism); err != nil {
			return nil, err
		}
		return func(h delivery.Smarthost) (*delivery.Credentials, error) {
			return readPasswords(p.PasswordFile, h.Host, mechanism)
		}, nil
	case !named && (!p.Password.Empty() || p.TokenFile != ""):
		return nil, errors.New("smarthost_password and smarthost_token_file need smarthost_username")
	case !named:
		return nil, nil
	case p.Password.Empty() == (p.TokenFile == ""):
		return nil, errors.New("smarthost_username needs either smarthost_password or smarthost_token_file")
	case (mechanism == "XOAUTH2") != (p.TokenFile != "") && mechanism != "":
		return nil, fmt.Errorf(`smarthost_auth is %q: expected "xoauth2" with smarthost_token_file, and only then`,
			p.SmarthostAuth)
	}
	cred := &delivery.Credentials{Username: p.Username, Password: p.password, TokenFile: p.TokenFile,
		Mechanism: mechanism}
	return func(delivery.Smarthost) (*delivery.Credentials, error) { return cred, nil }, nil
}

func (p *SMTPRelay) password() (string, error) {
	secret, err := p.Password.Get()
	if err != nil {
		return "", fmt.Errorf("smarthost_password: %w", err)
	}
	defer secret.Destroy()
	return secret.String(), nil
}

// maxPEM is the size in octets of a file of certificates that is read.
const maxPEM = 16 << 20

// readPasswords finds a host in a password file, which may change while we run.
func readPasswords(file, host, mechanism string) (*delivery.Credentials, error) {
	f, err := storage.Open(file)
	if err != nil {
		return nil, fmt.Errorf("smarthost_password_file: %w", err)
	}
	defer f.Close()
	all, err := delivery.ReadPasswords(f)
	if err != nil {
		return nil, fmt.Errorf("smarthost_password_file: %s: %w", file, err)
	}
	cred := all.Find(host)
	if cred != nil {
		cred.Mechanism = mechanism
	}
	return cred, nil
}

// aliases joins those of the file and those of the configuration, which win.
func (p *SMTPRelay) allAliases() (map[string][]string, error) {
	all := map[string][]string{}
	if p.AliasesFile != "" {
		f, err := storage.Open(p.AliasesFile)
		if err != nil {
			return nil, fmt.Errorf("aliases_file: %w", err)
		}
		defer f.Close()
		if all, err = rewrite.ReadAliases(f); err != nil {
			return nil, fmt.Errorf("aliases_file: %s: %w", p.AliasesFile, err)
		}
	}
	for name, targets := range p.Aliases {
		all[strings.ToLower(name)] = targets
	}
	return all, nil
}

// secretVerifier compares digests, which takes the same time for all passwords.
func (p *SMTPRelay) secretVerifier(u *User) smtpd.Verifier {
	return func(password []byte) bool {
		secret, err := u.Password.Get()
		if err != nil {
			p.monitor.LimitedWarnf("secret "+u.Name, "user %q cannot log in: reading the secret: %v", u.Name, err)
			return false
		}
		defer secret.Destroy()
		want, got := sha256.Sum256(secret.Bytes()), sha256.Sum256(password)
		return subtle.ConstantTimeCompare(want[:], got[:]) == 1
	}
}
