package exim

import (
	"strings"
	"testing"
)

// configured gives the configuration that an update-exim4.conf.conf makes.
func configured(t *testing.T, text string, files Files) string {
	t.Helper()
	s, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := s.TOML(files)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

const (
	viaHost  = "dc_eximconfig_configtype='smarthost'\ndc_smarthost='mail.example.com'\n"
	viaSat   = "dc_eximconfig_configtype='satellite'\ndc_smarthost='mail.example.com'\n"
	direct   = "dc_eximconfig_configtype='internet'\n"
	onlyHere = "dc_eximconfig_configtype='local'\n"
)

// Each setting gives what update-exim4.conf(8) says that it does: a line that is there, or,
// behind a "!", one that is not.
func TestWhatASettingGives(t *testing.T) {
	for text, want := range map[string][]string{
		viaHost: {`listen = [":25"]`, `relay_nets = ["127.0.0.1", "::1"]`, `relay_domains = ["any"]`,
			`smarthosts = ["smtp://mail.example.com:25"]`, `smarthost_tls = "required"`, `expire_after = "96h"`,
			`delay_warning = "24h"`, `local_recipients = "aliases"`, "!local_domains", "!visible_domain",
			"dc_local_interfaces is empty", "!conf.d", "!Not taken over", "!denied_", "!sender_addresses_file"},
		"dc_eximconfig_configtype='SmartHost'\ndc_smarthost='mail.example.com'\n": {
			`dc_eximconfig_configtype="smarthost"`},
		viaHost + "dc_local_interfaces='eth0 ; 192.0.2.1 ; 2001:db8::1.587'\n": {
			`listen = ["192.0.2.1:25", "[2001:db8::1]:587"]`, `dc_local_interfaces, expected an address: "eth0"`,
			"!is empty"},
		viaHost + "dc_relay_nets='monitor ; 192.0.2.9/24 ; 192.0.2.0/24 ; 127.0.0.1 ; 2001:db8::/32'\n": {
			`relay_nets = ["127.0.0.1", "::1", "192.0.2.0/24", "2001:db8::/32"]`,
			`dc_relay_nets, expected a network: "monitor"`},
		viaHost + "dc_relay_domains='a_b ; Example.COM ; *.example.net'\n": {
			`relay_domains = ["example.com", ".example.net"]`, `dc_relay_domains, expected a domain: "a_b"`,
			"everybody to these domains", "!Better write"},
		viaHost + "dc_relay_domains='example.com ; * ; a_b'\n": {`relay_domains = ["any"]`, `!"a_b"`, "!Better write"},
		viaHost + "dc_relay_domains='* ; example.com'\n":       {`relay_domains = ["any"]`},
		viaHost + "dc_other_hostnames='localhost ; DB1.internal ; db1.internal ; db2.internal'\n": {
			`local_domains = ["db1.internal", "db2.internal"]`},
		viaHost + "dc_hide_mailname='TRUE'\ndc_readhost='Example.com'\n": {`visible_domain = "example.com"`},
		viaSat + "dc_hide_mailname='true'\ndc_readhost='example.com'\n":  {`visible_domain = "example.com"`},
		viaHost + "dc_hide_mailname='false'\ndc_readhost='example.com'\n": {
			"!visible_domain"},
		viaHost + "dc_hide_mailname='true'\ndc_readhost=''\n":             {"!visible_domain"},
		direct + "dc_hide_mailname='true'\ndc_readhost='example.com'\n":   {"!visible_domain"},
		onlyHere + "dc_hide_mailname='true'\ndc_readhost='example.com'\n": {"!visible_domain"},
		direct + "dc_smarthost='mail.example.com'\n":                      {`smarthosts = ["mx://"]`, "!smarthost_tls"},
		onlyHere: {`smarthosts = ["mbox:///var/mail/{user}"]`, `relay_domains = ["localhost"]`,
			`local_recipients = "users"`, "!smarthost_tls"},
		onlyHere + "dc_localdelivery='mail_spool'\n": {`smarthosts = ["mbox:///var/mail/{user}"]`},
		onlyHere + "dc_localdelivery='maildir_home'\n": {
			`smarthosts = ["maildir:///home/{user}/Maildir"]`},
		onlyHere + "dc_relay_domains='example.com'\n": {"!example.com"},
		onlyHere + "dc_other_hostnames='db1.internal ; localhost'\n": {
			`relay_domains = ["localhost", "db1.internal"]`, `local_domains = ["db1.internal"]`},
		viaHost + "dc_localdelivery='procmail_pipe'\n": {"!mbox", "!procmail"},
		viaHost + "dc_use_split_config='TRUE'\n":       {"exim also reads /etc/exim4/conf.d"},
		viaHost + "dc_use_split_config='False'\n":      {"!conf.d"},
		viaHost + "dc_minimaldns='true'\nCFILEMODE='644'\nue4c_keepcomments='x'\n" +
			"dc_mailname_in_oh='true'\n": {"!Not taken over"},
		viaHost + "dc_extra='a \"b\"'\nzz='y'\n": {
			`Not taken over, it is no setting of Debian's: dc_extra="a`, `Debian's: zz="y"`},
	} {
		out := configured(t, text, nil)
		for _, line := range want {
			absent, is := strings.CutPrefix(line, "!")
			if is == strings.Contains(out, absent) {
				t.Errorf("%s\nexpected %q in\n%s", text, line, out)
			}
		}
	}
}

// What the further files of exim4-config_files(5) give, and with them a setting.
func TestWhatAFileGives(t *testing.T) {
	for name, tt := range map[string]struct {
		files Files
		want  []string
	}{
		"hosts": {Files{HostBlacklist: "192.0.2.7 # a comment\n\n 198.51.100.9/24\n!192.0.2.8\n"}, []string{
			`denied_nets = ["192.0.2.7", "198.51.100.0/24"]`, `exceptions are refused here too: "!192.0.2.8"`,
			"exim asks these lists of clients outside", "!denied_senders"}},
		"senders": {Files{SenderBlacklist: "a@example.com\n*@example.org\n*.example.net\nexample.edu\n"}, []string{
			`denied_senders = ["a@example.com", "example.org", ".example.net", "example.edu"]`, "!denied_nets"}},
		"one host": {Files{HostBlacklist: "192.0.2.7"}, []string{`denied_nets = ["192.0.2.7"]`,
			"exim asks these"}},
		"one sender":     {Files{SenderBlacklist: "b.c"}, []string{`denied_senders = ["b.c"]`, "exim asks these"}},
		"comments alone": {Files{HostBlacklist: "# none\n", SenderBlacklist: "\n"}, []string{"!denied", "!exim asks"}},
		"white lists": {Files{"sender_local_deny_exceptions": "a@b.c\n", "host_local_deny_exceptions": "h\n",
			"local_sender_whitelist": "x\n", "local_host_whitelist": "#\n"}, []string{
			"Not taken over: sender_local_deny_exceptions;", "Not taken over: host_local_deny_exceptions;",
			"Not taken over: local_sender_whitelist;", "!local_host_whitelist"}},
		"addresses": {Files{EmailAddresses: "tim: tim@example.com\n"}, []string{
			`sender_addresses_file = "/etc/email-addresses"`}},
		"no addresses": {Files{EmailAddresses: "# none\n"}, []string{"!sender_addresses_file", "!email-addresses"}},
		// Of two hubs exim's partial-lsearch finds the name itself first, then the longest suffix.
		"hubs": {Files{HubbedHosts: "*.example.com: a.example.org\nmail.example.com: b.example.org::587 byname\n" +
			"*.x.example.com: c.example.org:d.example.org randomize\nExample.net d.example.org"}, []string{
			`    domains = ["mail.example.com"]
    smarthosts = ["smtp://b.example.org:587"]
  [[outputs.smtp_relay.route]]
    domains = ["example.net"]
    smarthosts = ["smtp://d.example.org:25"]
  [[outputs.smtp_relay.route]]
    domains = ["x.example.com", ".x.example.com"]
    smarthosts = ["smtp://c.example.org:25", "smtp://d.example.org:25"]
  [[outputs.smtp_relay.route]]
    domains = ["example.com", ".example.com"]
    smarthosts = ["smtp://a.example.org:25"]
`}},
		"a certificate with its key": {Files{LocalMacros: "REMOTE_SMTP_SMARTHOST_TLS_CERTIFICATE = /c\n" +
			"REMOTE_SMTP_SMARTHOST_PRIVATEKEY=/k\n"}, []string{`smarthost_tls_cert = "/c"`,
			`smarthost_tls_key = "/k"`}},
		"a certificate that has its key": {Files{LocalMacros: "REMOTE_SMTP_SMARTHOST_TLS_CERTIFICATE = /c\n"},
			[]string{`smarthost_tls_cert = "/c"`, `smarthost_tls_key = "/c"`}},
		"a key alone": {Files{LocalMacros: "REMOTE_SMTP_SMARTHOST_PRIVATEKEY = /k\n"}, []string{"!smarthost_tls_key"}},
		"a macro": {Files{LocalMacros: "IGNORE_SMTP_LINE_LENGTH_LIMIT = 1\n"},
			[]string{`localmacros: "IGNORE_SMTP`}},
	} {
		out := configured(t, viaHost, tt.files)
		for _, line := range tt.want {
			absent, is := strings.CutPrefix(line, "!")
			if is == strings.Contains(out, absent) {
				t.Errorf("%s: expected %q in\n%s", name, line, out)
			}
		}
	}
}

// A value is one quoted text or one word, as the shell has it where nothing is expanded.
func TestUnquote(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "''": "", `""`: "", "a": "a", "'a b'": "a b", `"a b"`: "a b", `"a'b"`: "a'b", "'a' # b": "a",
		"'a'#b": "!", "\"a\"#": "!", "''#": "!", "''b": "!", "'' # b": "", "'a'\t#b": "a", "'a' ": "a", "~": "!",
		"a:~b": "!",
		"'a'b": "!", "'a": "!", "'": "!", `"`: "!", "a'b": "!", "a;b": "!", "a|b": "!", "a&b": "!", "a<b": "!",
		"a>b": "!",
		"(a)": "!", "'$a'": "!", "'`a`'": "!", `'a\b'`: "!", "'\x1f'": "!", "'\x7f'": "!", "'~'": "~", "'é'": "é",
	} {
		got, err := unquote(in)
		if (err != nil) != (want == "!") || err == nil && got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]bool{"a": true, "A_z9": true, "0aZ": true, "": false, "a-b": false, "@": false,
		"[": false,
		"`": false, "{": false, "/": false, ":": false, "é": false} {
		if isName(in) != want {
			t.Errorf("%q is a name: %v", in, !want)
		}
	}
}

// Names that begin with a capital letter are macros of exim's, and those alone.
func TestMacrosAreRefused(t *testing.T) {
	for name, want := range map[string]bool{"A": true, "Z": true, "MAIN_X": true, "a": false, "z": false, "_A": false} {
		s := Settings{"dc_eximconfig_configtype": "internet", name: "x"}
		if _, err := s.TOML(nil); (err != nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for line, want := range map[string]bool{"acl_x = 1": false, "X_ACL = 1": true, "CHECK_X = 1": true,
		"X_CHECK_ = 1": false,
		".ifdef X":     true, "X": true, "X=": false} {
		s := Settings{"dc_eximconfig_configtype": "internet"}
		if _, err := s.TOML(Files{LocalMacros: line + "\n"}); (err != nil) != want {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Lines of hubbed_hosts and items of the blacklists that are none.
func TestItemsRefused(t *testing.T) {
	for _, line := range []string{"", ":", ": a", " a", "a", "a:", "a: byname", "a_b: c", "*.: c", "a: b_c",
		"a: h.example::0"} {
		if h, err := readHub(line); err == nil {
			t.Errorf("hub %q: %+v", line, h)
		}
	}
	if h, err := readHub("a: b"); err != nil || h.domains[0] != "a" || h.hosts[0] != "smtp://b:25" {
		t.Errorf("names of one letter: %+v, %v", h, err)
	}
	for item, want := range map[string]string{
		"a@b.c": "a@b.c", "A@B.C": "A@b.c", "b.c": "b.c", "*@b.c": "b.c", "*.b.c": ".b.c", "*@*.b.c": ".b.c",
		"a*@b.c": "", "^a@b.c": "", "@b.c": "", "a@": "", "*": "", "*@": "", "b_c": "", "lsearch;/x": "",
	} {
		if got, err := deniedSender(item); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("sender %q: %q, %v, want %q", item, got, err, want)
		}
	}
	for item, want := range map[string]string{"192.0.2.1": "192.0.2.1", "192.0.2.1/24": "192.0.2.0/24", "::1": "::1",
		"2001:db8::1/32": "2001:db8::/32", "192.0.2.0/33": "", "192.0.2": "", "h": "", "": ""} {
		if got, ok := network(item); ok != (want != "") || ok && got != want {
			t.Errorf("network %q: %q, %v, want %q", item, got, ok, want)
		}
	}
	for port, want := range map[string]bool{"1": true, "65535": true, "0": false, "65536": false, "": false,
		"-1": false, "x": false} {
		if validPort(port) != want {
			t.Errorf("port %q: %v", port, !want)
		}
	}
}
