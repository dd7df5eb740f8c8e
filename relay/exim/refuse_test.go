package exim

import (
	"strings"
	"testing"
)

// What cannot be taken over and would leave more open than exim did is an error that
// names setting and value, all of them at once, and no configuration comes out.
func TestOpensNothing(t *testing.T) {
	const base = "dc_eximconfig_configtype='smarthost'\ndc_smarthost='mail.example.com::25'\n"
	for name, tt := range map[string]struct{ text, want string }{
		"no smarthost":         {"dc_smarthost=''", "dc_smarthost is empty"},
		"smarthost without ::": {"dc_smarthost='mail.example.com:25'", `dc_smarthost: "25"`},
		"one bad of two":       {"dc_smarthost='mail.example.com::25 ; mail_2.example.com'", `"mail_2.example.com"`},
		"port":                 {"dc_smarthost='mail.example.com::0'", `"mail.example.com:0"`},
		"a list of exim's":     {"dc_smarthost='+hosts'", `"+hosts"`},
		"none":                 {"dc_eximconfig_configtype='none'", "exim takes no mail"},
		"unknown type":         {"dc_eximconfig_configtype='smarthos'", `"smarthos"`},
		"a network less":       {"dc_relay_nets='!192.0.2.7 ; 192.0.2.0/24'", `"!192.0.2.7"`},
		"a domain less":        {"dc_relay_domains='!a.example.com : *.example.com'", `"!a.example.com"`},
		"no domain readable":   {"dc_relay_domains='lsearch;;/etc/x ; @mx_any'", "dc_relay_domains"},
		"no listener readable": {"dc_local_interfaces='eth0'", "dc_local_interfaces"},
		"names of this host":   {"dc_other_hostnames='*.example.com'", `"*.example.com"`},
		"a visible domain":     {"dc_hide_mailname='true'\ndc_readhost='a b'", "dc_readhost"},
		"a macro":              {"MAIN_ACL_CHECK_RCPT='deny'", "MAIN_ACL_CHECK_RCPT"},
		"procmail": {"dc_eximconfig_configtype='local'\ndc_localdelivery='procmail_pipe'",
			"dc_localdelivery"},
		"names of a local host": {"dc_eximconfig_configtype='local'\ndc_other_hostnames='a_b'", `"a_b"`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(strings.NewReader(base + tt.text + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := s.TOML(nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || out != "" {
				t.Errorf("error %v, want one with %q and no configuration, got\n%s", err, tt.want, out)
			}
		})
	}
	s, err := Read(strings.NewReader("dc_eximconfig_configtype='satellite'\ndc_relay_nets='!::1'\n" +
		"dc_other_hostnames='_'"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.TOML(nil)
	for _, want := range []string{"dc_smarthost", "dc_relay_nets", "dc_other_hostnames"} {
		if err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("error %v, want %s told once", err, want)
		}
	}
}

func TestSmarthost(t *testing.T) {
	for text, want := range map[string]string{
		"mail.example.com": "smtp://mail.example.com:25", "mail.example.com:587": "smtp://mail.example.com:587",
		"mail.example.com:465": "smtps://mail.example.com:465", "192.0.2.1:26": "smtp://192.0.2.1:26",
		"2001:db8::1": "smtp://[2001:db8::1]:25", "[2001:db8::1]:587": "smtp://[2001:db8::1]:587",
		"a b": "", "mail.example.com:": "", ":25": "", "a:b:c": "", "*": "",
	} {
		if got, err := smarthost(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// What of the further files cannot be taken over and would let in more, or send mail
// elsewhere, is an error that names the file; what closes is a comment.
func TestFilesOpenNothing(t *testing.T) {
	s := Settings{"dc_eximconfig_configtype": "smarthost", "dc_smarthost": "mail.example.com",
		"dc_relay_domains": "example.com"}
	for name, tt := range map[string]struct {
		files Files
		want  string // of the error; empty: of the text
		text  string
	}{
		"host name":      {Files{HostBlacklist: "bad.example.com\n"}, "local_host_blacklist: \"bad.example.com\"", ""},
		"sender pattern": {Files{SenderBlacklist: "^spam.*@example.com\n"}, "local_sender_blacklist: \"^spam", ""},
		"hub without":    {Files{HubbedHosts: "hub.example.com:\n"}, "hubbed_hosts: \"hub.example.com:\"", ""},
		"hubs, all told": {Files{HubbedHosts: "a_b: c\nhub.example.com:\n"}, "hubbed_hosts: \"hub.example.com:\"", ""},
		"hub expanded":   {Files{HubbedHosts: "hub.example.com: $domain\n"}, "hubbed_hosts: ", ""},
		"hub no domain":  {Files{HubbedHosts: "a_b: hub.example.com\n"}, "hubbed_hosts: \"a_b", ""},
		"acl": {Files{LocalMacros: "CHECK_RCPT_LOCAL_ACL_FILE = /x\n"},
			"exim4.conf.localmacros: \"CHECK_RCPT", ""},
		"include": {Files{LocalMacros: ".include /x\n"}, "exim4.conf.localmacros: \".include", ""},
		"exception": {Files{SenderBlacklist: "!a@example.com\n"}, "",
			"exceptions are refused here too: \"!a@example.com\""},
		"white list": {Files{"local_host_whitelist": "192.0.2.1\n"}, "", "Not taken over: local_host_whitelist"},
		"other macro": {Files{LocalMacros: "MAIN_LOG_SELECTOR = +all\n"}, "",
			"Not taken over from exim4.conf.localmacros"},
		"addresses wrong": {Files{EmailAddresses: "tim\n"}, "", "Not taken over: /etc/email-addresses, line 1"},
	} {
		text, err := s.TOML(tt.files)
		switch {
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || text != ""):
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		case tt.want == "" && (err != nil || !strings.Contains(text, tt.text)):
			t.Errorf("%s: %v, want %q in\n%s", name, err, tt.text, text)
		}
	}
}
