package relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/smtpd"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// User may log in at listeners with TLS: a hash or a password is given.
type User struct {
	Name string
	// PasswordHash is a bcrypt hash, "$2y$…".
	PasswordHash string
	// Password gives the password, anew for each login; nil with a hash.
	Password func() (string, error)
}

// Login is how the relay logs in at Options.Smarthosts; at those of routes it does with a
// PasswordFile that has their names. It is empty for those that want none.
type Login struct {
	Username string
	// Password gives the password, anew for each connection; nil with a file.
	Password func() (string, error)
	// TokenFile holds an OAuth 2.0 access token, PasswordFile lines "host:user:password".
	TokenFile, PasswordFile string
	// Mechanism is "plain", "login", "cram-md5", "xoauth2", or "auto", the default.
	Mechanism string
	// Over is "tls", the default, or "any": connections that may carry a login.
	Over string
}

// configureUsers makes of each user what tells a right password.
func (r *Relay) configureUsers() error {
	if len(r.opts.Users) == 0 {
		return nil
	}
	var errs []error
	verifiers := map[string]smtpd.Verifier{}
	for _, u := range r.opts.Users {
		switch {
		case u.Name == "" || verifiers[u.Name] != nil:
			errs = append(errs, fmt.Errorf("user %q: expected a name, each once", u.Name))
		case (u.PasswordHash == "") == (u.Password == nil):
			errs = append(errs, fmt.Errorf(`user %q: expected either "password_hash" or "password"`, u.Name))
		case u.PasswordHash == "":
			verifiers[u.Name] = r.passwordVerifier(u)
		default:
			verifier, err := smtpd.Hash(u.PasswordHash)
			if err != nil {
				errs = append(errs, fmt.Errorf("user %q: %w", u.Name, err))
				continue
			}
			verifiers[u.Name] = verifier
		}
	}
	r.opts.SMTPD.Users = verifiers
	return errors.Join(errs...)
}

// passwordVerifier compares digests, which takes the same time for all passwords.
func (r *Relay) passwordVerifier(u User) smtpd.Verifier {
	return func(password []byte) bool {
		secret, err := u.Password()
		if err != nil {
			r.opts.Monitor.LimitedWarnf("secret "+u.Name, "user %q cannot log in: reading the secret: %v", u.Name, err)
			return false
		}
		want, got := sha256.Sum256([]byte(secret)), sha256.Sum256(password)
		return subtle.ConstantTimeCompare(want[:], got[:]) == 1
	}
}

// configureLogin makes what tells delivery how to log in, nothing when there is nothing to
// tell.
func (r *Relay) configureLogin() error {
	l := r.opts.Login
	var errs []error
	switch l.Over {
	case "", "tls":
	case "any":
		r.opts.Delivery.AuthInClear = true
	default:
		errs = append(errs, fmt.Errorf(`smarthost_auth_over is %q: expected "tls" or "any"`, l.Over))
	}
	mechanism := strings.ToUpper(l.Mechanism)
	if mechanism == "AUTO" {
		mechanism = ""
	}
	if mechanism != "" && !slices.Contains(delivery.Mechanisms, mechanism) {
		errs = append(errs, fmt.Errorf(
			`smarthost_auth is %q: expected "auto", "plain", "login", "cram-md5" or "xoauth2"`, l.Mechanism))
	}
	if err := l.check(mechanism); err != nil {
		return errors.Join(append(errs, err)...)
	}
	switch {
	case l.PasswordFile != "":
		if _, err := readPasswords(l.PasswordFile, "", mechanism); err != nil {
			errs = append(errs, err)
		}
		r.opts.Delivery.Credentials = func(h delivery.Smarthost) (*delivery.Credentials, error) {
			return readPasswords(l.PasswordFile, h.Host, mechanism)
		}
	case l.Username != "":
		cred := &delivery.Credentials{Username: l.Username, Password: l.Password, TokenFile: l.TokenFile,
			Mechanism: mechanism}
		r.opts.Delivery.Credentials = func(h delivery.Smarthost) (*delivery.Credentials, error) {
			if h.Routed { // it is not the one that the login is for
				return nil, nil
			}
			return cred, nil
		}
	}
	return errors.Join(errs...)
}

// check tells of options that do not go together.
func (l *Login) check(mechanism string) error {
	named := l.Username != ""
	switch {
	case l.PasswordFile != "" && named:
		return errors.New(`smarthost_username and smarthost_password_file: expected one of them`)
	case l.PasswordFile != "":
		return nil
	case !named && (l.Password != nil || l.TokenFile != ""):
		return errors.New("smarthost_password and smarthost_token_file need smarthost_username")
	case !named:
		return nil
	case (l.Password == nil) == (l.TokenFile == ""):
		return errors.New("smarthost_username needs either smarthost_password or smarthost_token_file")
	case (mechanism == "XOAUTH2") != (l.TokenFile != "") && mechanism != "":
		return fmt.Errorf(`smarthost_auth is %q: expected "xoauth2" with smarthost_token_file, and only then`,
			l.Mechanism)
	}
	return nil
}

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
