package web

import (
	"maps"
	"regexp"
	"slices"
	"testing"
)

// What stands before the first paint are the modules that the page's script imports: each is
// asked for at once, by the page's head, and graphs and the editor are not among them. They are
// imported later, by what draws them.
func TestModulesBeforeTheFirstPaint(t *testing.T) {
	static := regexp.MustCompile(`(?m)^(?:import|export) .*from "\./(\w+\.js)"|^\t.* from "\./(\w+\.js)"`)
	dynamic := regexp.MustCompile(`import\("\./(\w+\.js)"\)`)
	first, later := map[string]bool{"app.js": true}, map[string]bool{}
	for queue := []string{"app.js"}; len(queue) > 0; queue = queue[1:] {
		text, err := embedded.ReadFile("assets/" + queue[0])
		must(t, err)
		for _, m := range static.FindAllSubmatch(text, -1) {
			if name := string(m[1]) + string(m[2]); !first[name] {
				first[name] = true
				queue = append(queue, name)
			}
		}
		for _, m := range dynamic.FindAllSubmatch(text, -1) {
			later[string(m[1])] = true
		}
	}
	page, err := embedded.ReadFile("assets/index.html")
	must(t, err)
	preloaded := []string{"app.js"}
	for _, m := range regexp.MustCompile(`rel="modulepreload" href="assets/(\w+\.js)"`).FindAllSubmatch(page, -1) {
		preloaded = append(preloaded, string(m[1]))
	}
	slices.Sort(preloaded)
	if got := slices.Sorted(maps.Keys(first)); !slices.Equal(got, preloaded) {
		t.Errorf("the page's script imports %v, the head asks for %v", got, preloaded)
	}
	if got := slices.Sorted(maps.Keys(later)); !slices.Equal(got, []string{"codemirror.js", "echarts.js"}) {
		t.Errorf("imported later are %v, expected the graphs and the editor", got)
	}
}
