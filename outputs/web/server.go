package web

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

//go:embed assets openapi.json
var embedded embed.FS

// Options say what is served, and to whom. The zero value of each is safe.
type Options struct {
	Base      string        // path below which the page is, as /flows/; "" is /
	Scans     int           // how many run at once; 0 is 2
	Timeout   time.Duration // of a scan; 0 is 5 minutes
	Memory    int64         // that the rows of a scan may take, bytes; 0 is 1 GB
	Profiles  string        // NfSen's directory profiles-stat; "" is none
	Spool     string        // of a relay whose alerts and mails are shown; "" is none
	Grants    Grants        // what users may do besides looking
	State     string        // state_file of the agent's inputs.netflow, for templates and names; "" is none
	Inventory string        // file of names and speeds, see ParseInventory; "" is none
	Names     bool          // names of addresses are looked up in the DNS when somebody asks
	Version   string        // of the program
	Access    Access

	Logf func(format string, args ...any) // nil is none
}

// Server is the page and its API over an archive.
type Server struct {
	archive   *Archive
	opt       Options
	scans     *scans
	guard     *guard
	exporters exporterCache
	profiles  profileCache
	names     nameCache
	state     watchedFile[*agentState]
	inventory watchedFile[*Inventory]
	asking    chan struct{} // a place for each who asks the relay
	files     fs.FS
}

// The defaults of Options.
const (
	usualScans   = 2
	usualTimeout = 5 * time.Minute
	usualMemory  = 1e9
)

// New returns a Server for an archive, which somebody Watches.
func New(a *Archive, opt Options) (*Server, error) {
	if opt.Scans <= 0 {
		opt.Scans = usualScans
	}
	if opt.Timeout <= 0 {
		opt.Timeout = usualTimeout
	}
	if opt.Memory <= 0 {
		opt.Memory = usualMemory
	}
	if opt.Logf == nil {
		opt.Logf = func(string, ...any) {}
	}
	opt.Base = path.Clean("/" + opt.Base)
	if opt.Base != "/" {
		opt.Base += "/"
	}
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		return nil, err
	}
	return &Server{archive: a, opt: opt, scans: newScans(opt.Scans, opt.Timeout), guard: newGuard(opt.Access, opt.Logf),
		state:     watchedFile[*agentState]{path: opt.State, read: readState},
		inventory: watchedFile[*Inventory]{path: opt.Inventory, read: ReadInventory},
		asking:    make(chan struct{}, maxAsked), files: files}, nil
}

// The limits of requests.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	writeTimeout   = 30 * time.Second // without a byte taken
	maxHeader      = 128 << 10
	maxBody        = 64 << 10
	maxConnections = 512
)

// Serve serves connections of a listener until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return err
}

// route is a request that is answered. Its pattern is one of http.ServeMux, without the base.
type route struct {
	pattern string
	public  bool // without a user
	serve   func(*Server, http.ResponseWriter, *http.Request) error
}

// routes are all of the API: openapi.json describes each.
var routes = []route{
	{"GET /api/v1/status", true, (*Server).getStatus},
	{"POST /api/v1/login", true, (*Server).postLogin},
	{"POST /api/v1/logout", true, (*Server).postLogout},
	{"GET /api/v1/openapi.json", true, (*Server).getOpenAPI},
	{"GET /api/v1/sources", false, (*Server).getSources},
	{"GET /api/v1/profiles", false, (*Server).getProfiles},
	{"GET /api/v1/graph", false, (*Server).getGraph},
	{"GET /api/v1/statistics", false, (*Server).getStatistics},
	{"GET /api/v1/peak", false, (*Server).getPeak},
	{"GET /api/v1/cost", false, (*Server).getCost},
	{"GET /api/v1/query", false, (*Server).getQuery},
	{"GET /api/v1/flows", false, (*Server).getFlows},
	{"GET /api/v1/download", false, (*Server).getDownload},
	{"GET /api/v1/filter", false, (*Server).getFilter},
	{"GET /api/v1/complete", false, (*Server).getComplete},
	{"GET /api/v1/words", false, (*Server).getWords},
	{"GET /api/v1/exporters", false, (*Server).getExporters},
	{"GET /api/v1/name", false, (*Server).getName},
	{"POST /api/v1/profile", false, (*Server).postProfile},
	{"POST /api/v1/profile/remove", false, (*Server).postRemoveProfile},
	{"POST /api/v1/profile/rebuild", false, (*Server).postRebuildProfile},
	{"GET /api/v1/alerts", false, (*Server).getAlerts},
	{"GET /api/v1/mails", false, (*Server).getMails},
	{"GET /api/v1/mail", false, (*Server).getMail},
	{"POST /api/v1/mail", false, (*Server).postMail},
	{"GET /api/v1/events", false, (*Server).getEvents},
}

// Handler returns what answers requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	base := strings.TrimSuffix(s.opt.Base, "/")
	for _, r := range routes {
		method, at, _ := strings.Cut(r.pattern, " ")
		mux.Handle(method+" "+base+at, s.api(r))
	}
	mux.HandleFunc("GET "+base+"/{$}", s.getPage)
	mux.HandleFunc("GET "+base+"/assets/{name}", s.getAsset)
	if base != "" {
		mux.Handle("GET "+base+"/api/", http.NotFoundHandler())
		mux.Handle("GET "+base, http.RedirectHandler(base+"/", http.StatusMovedPermanently))
	}
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, errors.New("a request from a page of another site: expected one of this page, "+
			"or of a program that sends neither Origin nor Sec-Fetch-Site"))
	}))
	return s.secure(own.Handler(mux))
}

// secure sets what holds for all answers.
func (s *Server) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		if !s.guard.hostAllowed(r) {
			fail(w, http.StatusForbidden, errors.New("the name in the address is not one of this server: use its "+
				"address, or localhost"))
			return
		}
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // the one of tests has none
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// api answers a request of the API: to users only, unless it is for all.
func (s *Server) api(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method == http.MethodGet {
			http.NewResponseController(w).SetReadDeadline(time.Time{}) // who waits sends nothing
		}
		if _, ok := s.guard.user(r); !ok && !route.public {
			fail(w, http.StatusUnauthorized, errors.New("log in first"))
			return
		}
		if err := route.serve(s, w, r); err != nil {
			fail(w, statusOf(err), err)
		}
	})
}

// statusOf returns the status that an error is answered with.
func statusOf(err error) int {
	var coded *statusError
	switch {
	case errors.As(err, new(*Mistake)):
		return http.StatusBadRequest
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// statusError is an error with a status of its own.
type statusError struct {
	code int
	err  error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// failure is the answer to a request that failed.
type failure struct {
	Error  string        `json:"error"`
	Field  string        `json:"field,omitempty"`
	Filter *FilterResult `json:"filter,omitempty"` // where in a filter the mistake is
}

// failureOf makes the answer of an error.
func failureOf(err error) failure {
	f := failure{Error: err.Error()}
	var m *Mistake
	if errors.As(err, &m) {
		f.Field = m.Field
		if m.Field == "filter" {
			f.Filter = filterResult(nil, m.Err)
		}
	}
	return f
}

// fail answers with an error.
func fail(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(failureOf(err)) // who is gone reads no answer
}

// give answers with a value.
func give(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return ignoreGone(json.NewEncoder(w).Encode(v))
}

// ignoreGone drops the errors of a client that has gone: there is nobody to tell.
func ignoreGone(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return nil
	}
	return err
}

// getPage serves the page. Its styles may only come from here, or from the editor, which
// knows the nonce.
func (s *Server) getPage(w http.ResponseWriter, r *http.Request) {
	page, err := fs.ReadFile(s.files, "index.html")
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	random := make([]byte, 16)
	rand.Read(random) // never fails
	nonce := base64.StdEncoding.EncodeToString(random)
	w.Header().Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self' "+
		"'nonce-%s'; img-src 'self' data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; "+
		"base-uri 'none'",
		nonce))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	nav := ""
	if _, known := s.guard.user(r); known {
		nav = s.nav()
	}
	// Who is gone reads no page.
	w.Write([]byte(strings.NewReplacer("{{nonce}}", nonce, "{{nav}}", nav).Replace(string(page))))
}

// nav are the links that stand in the first head, before the script draws them.
func (s *Server) nav() string {
	pages := []string{"overview", "Overview", "explorer", "Explorer", "host", "Hosts", "exporters", "Exporters",
		"profiles", "Profiles"}
	if s.opt.Spool != "" {
		pages = append(pages, "alerts", "Alerts", "mail", "Mail")
	}
	var b strings.Builder
	b.WriteString(`<nav aria-label="pages">`)
	for i := 0; i < len(pages); i += 2 {
		fmt.Fprintf(&b, `<a href="#/%s">%s</a>`, pages[i], pages[i+1])
	}
	return b.String() + "</nav>"
}

// getAsset serves a file of the page, compressed where the browser takes that.
func (s *Server) getAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	data, err := fs.ReadFile(s.files, name)
	if err != nil || name == "index.html" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "no-cache")
	tag := fmt.Sprintf(`"%s-%d"`, s.opt.Version, len(data))
	w.Header().Set("ETag", tag)
	w.Header().Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		data = pack(name, data)
	}
	w.Write(data) // who is gone reads nothing
}

// Addr checks an address to listen on: one that others reach wants users or a proxy.
func (a Access) Addr(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen %q: expected ADDRESS:PORT, as 127.0.0.1:8080", listen)
	}
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	if a.required() {
		return nil
	}
	return fmt.Errorf("--listen %s: others than this machine reach that address, which wants --users FILE "+
		"(flowgraf web user NAME makes its lines), or --proxy-header with --proxy-from; 127.0.0.1 wants neither",
		listen)
}
