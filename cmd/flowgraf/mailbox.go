package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox is the mail server at the end of the demo's way: it takes every mail
// and keeps each as a file.
type mailbox struct {
	dir      string
	server   *smtp.Server
	listener net.Listener

	mu      sync.Mutex
	count   int
	subject string // of the last mail
	at      time.Time
}

func startMailbox(dir string) (*mailbox, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the mailbox: %w", err)
	}
	m := &mailbox{dir: dir, listener: l}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailSession{m}, nil }))
	m.server.Domain = "mailbox.example.com"
	m.server.ReadTimeout, m.server.WriteTimeout = time.Minute, time.Minute
	m.server.MaxMessageBytes = 10 << 20
	m.server.ErrorLog = discardLog{}
	go m.server.Serve(l)
	return m, nil
}

func (m *mailbox) addr() string { return m.listener.Addr().String() }

func (m *mailbox) stop() { m.server.Close() }

// last returns how many mails came, and subject and time of the last.
func (m *mailbox) last() (count int, subject string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count, m.subject, m.at
}

// keep writes one mail to a file of its own.
func (m *mailbox) keep(body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := filepath.Join(m.dir, fmt.Sprintf("%03d.eml", m.count+1))
	if err := os.WriteFile(name, body, 0o644); err != nil {
		return err
	}
	m.count++
	m.at = time.Now()
	if msg, err := mail.ReadMessage(bytes.NewReader(body)); err == nil {
		m.subject = msg.Header.Get("Subject")
		if s, err := new(mime.WordDecoder).DecodeHeader(m.subject); err == nil {
			m.subject = s
		}
	}
	return nil
}

// mailSession is one SMTP session with the mailbox.
type mailSession struct{ m *mailbox }

func (mailSession) Reset()                               {}
func (mailSession) Logout() error                        { return nil }
func (mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s mailSession) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.m.keep(body)
}

// discardLog drops what the mailbox's server logs: the demo shows mails only.
type discardLog struct{}

func (discardLog) Printf(string, ...any) {}
func (discardLog) Println(...any)        {}
