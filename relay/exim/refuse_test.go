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
			out, err := s.TOML()
			if err == nil || !strings.Contains(err.Error(), tt.want) || out != "" {
				t.Errorf("error %v, want one with %q and no configuration, got\n%s", err, tt.want, out)
			}
		})
	}
	s, err := Read(strings.NewReader("dc_eximconfig_configtype='satellite'\ndc_relay_nets='!::1'\ndc_other_hostnames='_'"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.TOML()
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
