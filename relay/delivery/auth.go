package delivery

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// Credentials are what a smarthost wants to know. Secrets are read anew for each
// connection, so that changed ones count at once.
type Credentials struct {
	// Username is the user's name.
	Username string
	// Password gives the password; not needed with TokenFile.
	Password func() (string, error)
	// TokenFile holds an OAuth 2.0 access token, for XOAUTH2, kept fresh by somebody
	// else.
	TokenFile string
	// Mechanism is one of Mechanisms; empty: the best that the smarthost offers.
	Mechanism string
}

// Mechanisms are those of AUTH, best first.
var Mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"}

// maxToken is the size in octets of a token that fits a command line.
const maxToken = 8 << 10

// authenticate logs in (RFC 4954) when there are credentials for this smarthost.
func (d *dialer) authenticate(c *client, h Smarthost) error {
	if d.credentials == nil {
		return nil
	}
	fail := func(err error) error { return &stepError{step: "AUTH", err: err} }
	cred, err := d.credentials(h)
	if err != nil {
		return fail(err)
	}
	if cred == nil {
		return nil
	}
	if !c.verified && !d.authInClear {
		return fail(errors.New(`the connection is not encrypted and verified, and smarthost_auth_over is "tls"`))
	}
	mechanism, err := cred.choose(c.ext["AUTH"], c.verified)
	if err != nil {
		return fail(err)
	}
	secret, err := cred.secret(mechanism)
	if err != nil {
		return fail(err)
	}
	plain := encode("\x00" + cred.Username + "\x00" + secret)
	bearer := encode("user=" + cred.Username + "\x01auth=Bearer " + secret + "\x01\x01")
	c.secrets.addSecrets(secret, plain, bearer)
	switch mechanism {
	case "PLAIN":
		_, err = c.command("AUTH", "AUTH PLAIN "+plain, 2)
		return err
	case "LOGIN":
		return c.dialogue("AUTH LOGIN", cred.Username, secret)
	case "CRAM-MD5":
		return c.cramMD5(cred.Username, secret)
	}
	return c.xoauth2(bearer)
}

// choose picks a mechanism that both sides know. Without TLS one that hides the
// password comes first.
func (cred *Credentials) choose(offered string, encrypted bool) (string, error) {
	offers := strings.Fields(strings.ToUpper(offered))
	mine := []string{"PLAIN", "LOGIN", "CRAM-MD5"}
	switch {
	case cred.Mechanism != "":
		mine = []string{cred.Mechanism}
	case cred.TokenFile != "":
		mine = []string{"XOAUTH2"}
	case !encrypted:
		mine = []string{"CRAM-MD5", "PLAIN", "LOGIN"}
	}
	for _, m := range mine {
		if slices.Contains(offers, m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("the smarthost offers %q, expected one of %q", printable(offered), mine)
}

func (cred *Credentials) secret(mechanism string) (string, error) {
	if mechanism != "XOAUTH2" {
		if cred.Password == nil {
			return "", errors.New("no password is given")
		}
		return cred.Password()
	}
	b, err := storage.ReadFile(cred.TokenFile, 2*maxToken)
	if err != nil {
		return "", fmt.Errorf("smarthost_token_file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, " \r\n\x00\x01") {
		return "", fmt.Errorf("smarthost_token_file %q: expected one token of at most %d octets", cred.TokenFile,
			maxToken)
	}
	return token, nil
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// dialogue sends a command and then what the server asks for.
func (c *client) dialogue(line string, answers ...string) error {
	for _, answer := range answers {
		if _, err := c.command("AUTH", line, 3); err != nil {
			return err
		}
		line = encode(answer)
	}
	_, err := c.command("AUTH", line, 2)
	return err
}

// cramMD5 is RFC 2195's mechanism.
func (c *client) cramMD5(username, password string) error {
	r, err := c.command("AUTH", "AUTH CRAM-MD5", 3)
	if err != nil {
		return err
	}
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.first))
	if err != nil {
		return &stepError{step: "AUTH", err: errors.New("the smarthost's challenge is not base64")}
	}
	mac := hmac.New(md5.New, []byte(password))
	mac.Write(challenge)
	digest := hex.EncodeToString(mac.Sum(nil))
	c.secrets.addSecrets(digest, encode(username+" "+digest))
	_, err = c.command("AUTH", encode(username+" "+digest), 2)
	return err
}

// xoauth2 is Google's and Microsoft's mechanism: after a refusal the server waits
// for an empty answer before it gives its code.
func (c *client) xoauth2(bearer string) error {
	r, err := c.command("AUTH", "AUTH XOAUTH2 "+bearer, 2)
	if err != nil && r != nil && r.code/100 == 3 {
		_, err = c.command("AUTH", "", 2)
		if err == nil {
			err = &stepError{step: "AUTH", err: errors.New("the token was refused")}
		}
	}
	return err
}

// PasswordFile is a list of credentials in the form of exim's passwd.client.
type PasswordFile []passwordLine

type passwordLine struct{ host, user, password string }

// ReadPasswords reads lines "host:user:password"; "*" stands for any host, or at the
// start for any name that ends so. "#" begins a comment line. The error names the
// line and no password.
func ReadPasswords(in io.Reader) (PasswordFile, error) {
	var all PasswordFile
	scanner := bufio.NewScanner(in)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 || parts[0] == "" || parts[1] == "" || strings.ContainsAny(line, "\x00\x01") {
			return nil, fmt.Errorf(`line %d: expected "host:user:password"`, number)
		}
		all = append(all, passwordLine{strings.ToLower(parts[0]), parts[1], parts[2]})
	}
	return all, scanner.Err()
}

// Find gives the first credentials for a host, nil when there are none.
func (f PasswordFile) Find(host string) *Credentials {
	host = strings.ToLower(host)
	for _, line := range f {
		suffix, wild := strings.CutPrefix(line.host, "*")
		if line.host == host || (wild && strings.HasSuffix(host, suffix)) {
			return &Credentials{Username: line.user, Password: func() (string, error) { return line.password, nil }}
		}
	}
	return nil
}
