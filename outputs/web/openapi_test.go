package web

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// document is what of the API's document answers are compared with.
type document struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema schema }
		}
	}
	Components struct{ Schemas map[string]schema }
}

// schema is a JSON schema, as far as the document goes.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Items                *schema
	Properties           map[string]schema
	AdditionalProperties *schema
	Required             []string
	Enum                 []any
	Format               string
}

// mismatches says where a value is not as a schema has it; a field that it does not know is one.
func (d *document) mismatches(at string, s schema, v any) []string {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = d.Components.Schemas[name]
	}
	wrong := func(what string) []string { return []string{fmt.Sprintf("%s: %v: expected %s", at, v, what)} }
	var list []string
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return wrong(s.Type)
		}
		for name, value := range v {
			field, ok := s.Properties[name]
			if !ok && s.AdditionalProperties != nil {
				field, ok = *s.AdditionalProperties, true
			}
			if !ok {
				list = append(list, fmt.Sprintf("%s.%s is not in the document", at, name))
				continue
			}
			list = append(list, d.mismatches(at+"."+name, field, value)...)
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				list = append(list, at+"."+name+" is missing")
			}
		}
	case []any:
		if s.Type != "array" || s.Items == nil {
			return wrong(s.Type)
		}
		for i, value := range v {
			list = append(list, d.mismatches(fmt.Sprintf("%s[%d]", at, i), *s.Items, value)...)
		}
	case string:
		if s.Type != "string" || len(s.Enum) > 0 && !slices.Contains(s.Enum, any(v)) {
			return wrong(fmt.Sprint(s.Type, " ", s.Enum))
		}
	case float64:
		if s.Type != "number" && (s.Type != "integer" || v != math.Trunc(v)) {
			return wrong(s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			return wrong(s.Type)
		}
	default:
		return wrong(s.Type)
	}
	return list
}

// Each path of the document answers as it says, in each field, and mistakes too.
func TestAnswersAreAsDocumented(t *testing.T) {
	var doc document
	data, err := embedded.ReadFile("openapi.json")
	must(t, err)
	must(t, json.Unmarshal(data, &doc))
	tr := makeTree(t, 3, 40)
	profiles := makeProfiles(t, tr)
	inventory := filepath.Join(t.TempDir(), "inventory")
	must(t, os.WriteFile(inventory, []byte("host 10.0.0.1 web1\n"), 0o644))
	told := filepath.Join(tr.dir, "live", "told")
	must(t, os.Mkdir(told, 0o755))
	state := tellFile(t, told, "198.51.100.3", time.Second)
	_, h := serve(t, tr.dir, Options{Spool: startRelay(t), Profiles: profiles, State: state, Inventory: inventory,
		Access: Access{Users: users(t, "alice")},
		Grants: Grants{"alice": {RightMail, RightProfiles}}})
	alice := loggedIn(t, h, "alice")
	id := mailOf(t, fetch[MailList](t, alice, h, "mails"), "cron@example.com").ID
	span := fmt.Sprintf("from=%d&to=%d", tr.from, tr.to)
	asked := map[string]bool{}
	check := func(method, path, query, body string, status int) {
		t.Helper()
		req, err := http.NewRequest(method, h.URL+"/api/v1/"+path+"?"+query, strings.NewReader(body))
		must(t, err)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := alice.Do(req)
		must(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		must(t, err)
		kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
		what := fmt.Sprintf("%s %s?%s", method, path, query)
		asked[method+" /api/v1/"+path] = true
		if res.StatusCode != status {
			t.Errorf("%s: status %d: %s", what, res.StatusCode, text)
			return
		}
		s := schema{Ref: "#/components/schemas/Failure"}
		if status == http.StatusOK {
			content, ok := doc.Paths["/api/v1/"+path][strings.ToLower(method)].Responses["200"].Content[kind]
			if s = content.Schema; !ok && s.Format != "binary" {
				t.Errorf("%s: %s is not documented", what, kind)
				return
			}
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Errorf("%s: %v: %.200s", what, err, text)
			return
		}
		if list := doc.mismatches(path, s, v); len(list) > 0 {
			t.Errorf("%s: %s", what, strings.Join(list[:min(len(list), 10)], "\n"))
		}
	}
	ok := func(path, query string) { t.Helper(); check("GET", path, query, "", http.StatusOK) }
	ok("status", "")
	ok("sources", "")
	ok("profiles", "")
	ok("graph", span)
	ok("statistics", span)
	ok("peak", span)
	ok("cost", span+"&filter=proto+tcp")
	ok("query", span+"&by=srcip,dstport&stat=srcip/bytes&stat=proto/flows&filter=proto+tcp")
	ok("flows", span+"&limit=5&zone=utc")
	ok("flows", span+"&by=srcip&sort=bytes")
	ok("filter", "filter=proto+tcp")
	ok("filter", "filter=prot+tcp")
	ok("filter", "filter=duration+3+and+flags+S")
	ok("complete", "filter=proto+")
	ok("words", "")
	ok("exporters", "")
	ok("name", "address=10.0.0.1")
	ok("alerts", "")
	ok("mails", "")
	ok("mail", "id="+id)
	profile := `{"name":"own","kind":"live","channels":[{"name":"a","filter":"port 53","colour":"#0072b2","sign":"+"}]}`
	check("POST", "profile", "", profile, http.StatusOK)
	ok("profiles", "")
	check("POST", "profile/rebuild", "", `{"name":"own"}`, http.StatusOK)
	check("POST", "profile/remove", "", `{"name":"own"}`, http.StatusOK)
	check("POST", "mail", "", fmt.Sprintf(`{"command":"hold","id":%q}`, id), http.StatusOK)
	check("GET", "query", "filter=prot+tcp", "", http.StatusBadRequest)
	check("GET", "graph", "nosuch=1", "", http.StatusBadRequest)
	check("GET", "mail", "id=nosuch", "", http.StatusNotFound)
	check("POST", "profile", "", `{"name":"/"}`, http.StatusBadRequest)
	check("POST", "login", "", `{"name":"alice","password":"wrong"}`, http.StatusUnauthorized)
	check("POST", "login", "", fmt.Sprintf(`{"name":"alice","password":%q}`, secret), http.StatusOK)
	check("POST", "logout", "", "{}", http.StatusOK)
	check("GET", "graph", "", "", http.StatusUnauthorized)
	// These are no JSON; the document of the API is one itself.
	elsewhere := map[string]bool{"GET /api/v1/download": true, "GET /api/v1/events": true,
		"GET /api/v1/openapi.json": true}
	for path, methods := range doc.Paths {
		for method := range methods {
			if what := strings.ToUpper(method) + " " + path; !asked[what] && !elsewhere[what] {
				t.Errorf("%s has not been asked", what)
			}
		}
	}
}
