package smtpd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// Verifier tells whether a password is the right one. It is called from many
// goroutines and must take the same time for all wrong passwords.
type Verifier func(password []byte) bool

// Hash makes a Verifier from a bcrypt hash, "$2y$…" as htpasswd -B and doveadm pw
// write it.
func Hash(hash string) (Verifier, error) {
	h := []byte(hash)
	if _, err := bcrypt.Cost(h); err != nil {
		return nil, fmt.Errorf(`password hash: %w: expected a bcrypt hash "$2y$10$…", `+
			`as "htpasswd -nbB user password" makes it`, err)
	}
	return func(password []byte) bool { return bcrypt.CompareHashAndPassword(h, password) == nil }, nil
}

const (
	maxLogins     = 3               // failed AUTH commands a session
	failureDelay  = 1 * time.Second // from a failed AUTH to its answer
	parallelAuths = 2               // bcrypt costs tens of milliseconds of CPU
	maxUsername   = 256
)

var errCanceled = errors.New("canceled")

// mayAuth tells whether AUTH is offered now: over TLS only.
func (c *conn) mayAuth() bool { return c.encrypted && len(c.srv.options().Users) > 0 }

// auth is RFC 4954's command with PLAIN (RFC 4616) and LOGIN. Passwords are kept as
// hashes, so there is no mechanism that needs them in plain text.
func (c *conn) auth(arg string) {
	switch {
	case !c.mayAuth() && len(c.srv.options().Users) > 0 && c.mode == StartTLS:
		c.refuse("538 5.7.11 STARTTLS first", "authentication")
		return
	case !c.mayAuth():
		c.refuse("502 5.5.1 AUTH is not offered", "command")
		return
	case !c.greeted || c.trans.open || c.user != "":
		c.refuse("503 5.5.1 AUTH comes once, after EHLO and before MAIL", "sequence")
		return
	case !c.srv.limiter.mayLogin(c.remote):
		c.err = c.refuseEnd("421 4.7.0 too many failed logins, try again later", "authentication")
		return
	}
	began := time.Now()
	mechanism, initial, _ := strings.Cut(arg, " ")
	var name string
	var password []byte
	var err error
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		name, password, err = c.authPlain(initial)
	case "LOGIN":
		name, password, err = c.authLogin(initial)
	default:
		c.refuse("504 5.5.4 expected AUTH PLAIN or AUTH LOGIN", "authentication")
		return
	}
	switch {
	case c.err != nil: // the client is gone
	case errors.Is(err, errCanceled):
		c.refuse("501 5.7.0 AUTH canceled", "authentication")
	case err != nil:
		c.refuse("501 5.5.2 "+err.Error(), "authentication")
	case c.verify(name, password):
		c.user = name
		c.out.WriteString("235 2.7.0 welcome\r\n")
	default:
		c.loginFailed(name, began)
	}
	clear(password)
}

// verify looks a user up; at most parallelAuths hashes are computed at a time.
func (c *conn) verify(name string, password []byte) bool {
	c.srv.auths <- struct{}{}
	defer func() { <-c.srv.auths }()
	verifier := c.srv.options().Users[name]
	return verifier != nil && verifier(password)
}

// loginFailed answers after a time that does not tell whether the user exists.
func (c *conn) loginFailed(name string, began time.Time) {
	who := "a user that does not exist" // what was given as a name may be a password
	if c.srv.options().Users[name] != nil {
		who = fmt.Sprintf("%q", name)
	}
	c.srv.options().Monitor.LimitedWarnf("auth "+c.remote.String(), "mail client %s: login as %s failed", c.remote, who)
	c.logins++
	allowed := c.srv.limiter.failure(c.remote)
	time.Sleep(time.Until(began.Add(c.srv.options().failureDelay)))
	if c.logins >= maxLogins || !allowed {
		c.err = c.refuseEnd("421 4.7.0 too many failed logins", "authentication")
		return
	}
	c.refuse("535 5.7.8 user name or password is wrong", "authentication")
}

func (c *conn) authPlain(initial string) (name string, password []byte, err error) {
	message, err := c.authStep(initial, "334 ")
	if err != nil {
		return "", nil, err
	}
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 {
		return "", nil, errors.New("expected an authorization identity, a user name and a password")
	}
	if len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return "", nil, errors.New("the authorization identity must be empty or the user name")
	}
	return checkLogin(parts[1], parts[2])
}

func (c *conn) authLogin(initial string) (name string, password []byte, err error) {
	user, err := c.authStep(initial, "334 VXNlcm5hbWU6") // "Username:"
	if err != nil {
		return "", nil, err
	}
	if password, err = c.authStep("", "334 UGFzc3dvcmQ6"); err != nil { // "Password:"
		return "", nil, err
	}
	return checkLogin(user, password)
}

func checkLogin(name, password []byte) (string, []byte, error) {
	if len(name) == 0 || len(name) > maxUsername || len(password) == 0 {
		return "", nil, fmt.Errorf("expected a user name of 1 to %d octets and a password", maxUsername)
	}
	return string(name), password, nil
}

// authStep decodes the initial response, or asks for one.
func (c *conn) authStep(initial, challenge string) ([]byte, error) {
	if initial == "" {
		c.out.WriteString(challenge + "\r\n")
		line, err := c.readCommand()
		if err == nil {
			err = c.checkLine(line)
		}
		if err != nil {
			c.err = err
			return nil, err
		}
		initial = string(line[:len(line)-2])
	}
	switch initial {
	case "*":
		return nil, errCanceled
	case "=":
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(initial)
	if err != nil {
		return nil, errors.New("expected base64")
	}
	return b, nil
}

// starttls is RFC 3207's command. What the client sent behind it in plain text is
// never read as commands: such a client is sent away.
func (c *conn) starttls(arg string) {
	switch {
	case c.mode != StartTLS || c.encrypted:
		c.refuse("502 5.5.1 STARTTLS is not offered", "command")
		return
	case arg != "":
		c.refuse("501 5.5.4 STARTTLS takes no argument", "syntax")
		return
	case c.r.Buffered() > 0:
		c.err = c.refuseEnd("554 5.5.1 nothing may follow STARTTLS before the handshake", "syntax")
		return
	}
	c.out.WriteString("220 2.0.0 go ahead\r\n")
	if c.err = c.flush(); c.err == nil {
		c.err = c.handshake()
	}
}

// count is refuse's counter for what is not answered.
func (c *conn) count(reason string) { c.srv.options().Monitor.Count(monitor.Refused, reason) }
