//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/outputs/influxdb_v2"
	"github.com/influxdata/telegraf/plugins/secretstores"

	"github.com/flowgraf/flowgraf/tests/peers"
)

// stored loads a configuration whose output takes its token from a secret store, and
// returns the token that the output gets. Where fill is set, the secret is put into the
// store first.
func stored(t *testing.T, table, secret string, fill bool) string {
	t.Helper()
	config.ResetSecrets()
	c := config.NewConfig()
	text := table + "\n[[outputs.influxdb_v2]]\n  urls = [\"http://127.0.0.1:1\"]\n" +
		"  token = \"@{kept:" + secret + "}\"\n"
	if err := c.LoadConfigData([]byte(text), "stores.conf"); err != nil {
		t.Fatal(err)
	}
	if fill {
		if err := c.SecretStores["kept"].(telegraf.SecretStoreEditor).Set(secret, "from the store"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.LinkSecrets(); err != nil {
		t.Fatal(err)
	}
	token, err := c.Outputs[0].Output.(*influxdb_v2.InfluxDB).Token.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer token.Destroy()
	return token.String()
}

// secretFile writes a secret as a file of its own and returns the directory.
func secretFile(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("from the store"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSecretStoreDocker(t *testing.T) {
	table := "[[secretstores.docker]]\n  id = \"kept\"\n  path = \"" + secretFile(t, "token") + "\""
	if got := stored(t, table, "token", false); got != "from the store" {
		t.Errorf("got %q", got)
	}
}

func TestSecretStoreJose(t *testing.T) {
	table := "[[secretstores.jose]]\n  id = \"kept\"\n  password = \"of the store\"\n  path = \"" +
		filepath.Join(t.TempDir(), "jose") + "\""
	if got := stored(t, table, "token", true); got != "from the store" {
		t.Errorf("got %q", got)
	}
	if got := stored(t, table, "token", false); got != "from the store" {
		t.Errorf("of a second process: got %q", got)
	}
}

// The keyring of Linux's kernel; containers often may not use it.
func TestSecretStoreOS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the keyring here is not Linux's")
	}
	table := "[[secretstores.os]]\n  id = \"kept\"\n  keyring = \"flowgraf-test-" + strconv.Itoa(os.Getpid()) + "\""
	c := config.NewConfig()
	if err := c.LoadConfigData([]byte(table), "stores.conf"); err != nil {
		t.Skipf("the kernel's keyring cannot be used here: %v", err)
	}
	if err := c.SecretStores["kept"].(telegraf.SecretStoreEditor).Set("token", "x"); err != nil {
		t.Skipf("the kernel's keyring cannot be used here: %v", err)
	}
	if got := stored(t, table, "token", true); got != "from the store" {
		t.Errorf("got %q", got)
	}
}

func TestSecretStoreHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "flowgraf" || password != "of the service" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"token": "from the store"}`)
	}))
	defer server.Close()
	table := "[[secretstores.http]]\n  id = \"kept\"\n  url = \"" + server.URL +
		"\"\n  username = \"flowgraf\"\n  password = \"of the service\""
	if got := stored(t, table, "token", false); got != "from the store" {
		t.Errorf("got %q", got)
	}
}

func TestSecretStoreOAuth2(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if !ok { // RFC 6749, section 2.3.1, has both ways
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		if r.FormValue("grant_type") != "client_credentials" || id != "flowgraf" || secret != "of the client" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{
			"access_token": "from the store", "token_type": "Bearer", "expires_in": 3600})
	}))
	defer server.Close()
	table := "[[secretstores.oauth2]]\n  id = \"kept\"\n  token_endpoint = \"" + server.URL +
		"\"\n  [[secretstores.oauth2.token]]\n    key = \"flows\"\n    client_id = \"flowgraf\"\n" +
		"    client_secret = \"of the client\""
	if got := stored(t, table, "flows", false); got != "from the store" {
		t.Errorf("got %q", got)
	}
}

// The store asks systemd for its version, over the system's bus: a bus of the test's own
// has that answer.
func TestSecretStoreSystemd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no systemd")
	}
	socket := filepath.Join(t.TempDir(), "bus")
	daemon := exec.Command(peers.Path(t, "dbus-daemon"), "--session", "--nofork", "--print-address",
		"--address=unix:path="+socket)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	defer daemon.Process.Kill()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	version := map[string]map[string]*prop.Prop{"org.freedesktop.systemd1.Manager": {"Version": {Value: "252.1-1"}}}
	if _, err := prop.Export(bus, "/org/freedesktop/systemd1", version); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	t.Setenv("CREDENTIALS_DIRECTORY", secretFile(t, "telegraf.token"))
	if got := stored(t, "[[secretstores.systemd]]\n  id = \"kept\"", "token", false); got != "from the store" {
		t.Errorf("got %q", got)
	}
}

// A store that has not the secret is told of when the configuration is loaded, by its name.
// Once the configuration is right, as before a reload, it loads.
func TestSecretThatIsMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "telegraf.conf")
	text := "[[secretstores.docker]]\n  id = \"kept\"\n  path = \"" + secretFile(t, "token") + "\"\n" +
		"[[inputs.cpu]]\n[[outputs.influxdb_v2]]\n  token = \"@{kept:tokne}\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig([]string{file}, true); err == nil || !strings.Contains(err.Error(), "@{kept:tokne}") {
		t.Errorf("got %v, want an error that names the secret", err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(text, "tokne", "token", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig([]string{file}, true); err != nil {
		t.Errorf("the mended configuration: %v", err)
	}
}

// All that are linked have a sample with their table.
func TestSecretStoreSamples(t *testing.T) {
	for name, creator := range secretstores.SecretStores {
		if sample := creator("x").SampleConfig(); !strings.Contains(sample, "[[secretstores."+name+"]]") {
			t.Errorf("secret store %s has the sample\n%s", name, sample)
		}
	}
}
