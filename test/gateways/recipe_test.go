//go:build gateways

package gateways

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// recipe is one gateway with its files, and what is different about it.
type recipe struct {
	name  string
	files []string

	// fill are the lines that an operator changes too: what stands in the files, and what is put in its place.
	fill func(place) [][2]string
	// before makes what the gateway needs beside its files.
	before func(testing.TB, place)
	// command starts the gateway; its files are in the place's directory.
	command func(place) []string
	// check has the gateway check its files; nil where it has no such command.
	check func(place) []string

	// asks: the service is asked about every request. Otherwise tokens are verified with the public keys.
	asks bool
	// away is the least of the statuses by which it then says that the service is away.
	away int
	// namesOnly: each protected path is named, so that there is nothing to say of others.
	namesOnly bool
	// ownRefusals: 404 and 405 of what the gateway does not know are its own, and so is the form of its 401.
	ownRefusals bool
	// plainRefusal: the 401 of the gateway is not in the service's form.
	plainRefusal bool
	// otherNames: the upstream sees names that begin with x-auth- and that the service does not set.
	otherNames bool
	// decodes: %76 in a path arrives as v, which means the same (RFC 3986 section 6.2.2.2).
	decodes bool
	// firstHeader: of two headers authorization the first counts.
	firstHeader bool
	// passesNames: the upstream gets a request-id as it is. refusesNames: a malformed one is refused with 400. Otherwise the
	// gateway makes one up in its place.
	passesNames, refusesNames bool
}

// place is where a gateway runs and what is around it.
type place struct {
	dir      string
	port     string // of the gateway
	service  string // host:port
	upstream string // host:port
	keys     string // base URL of the service that publishes the keys
}

func (p place) file(name string) string { return filepath.Join(p.dir, name) }

// issuer is what the harness has in AUTH_PUBLIC_URL.
const issuer = "https://auth.example.test"

func recipes() []*recipe {
	return []*recipe{nginx(), haproxy(), caddy(), envoy(), traefik(), krakend()}
}

func nginx() *recipe {
	const around = "nginx.conf"
	return &recipe{
		name:  "nginx",
		files: []string{"financelime-auth.conf"},
		fill: func(p place) [][2]string {
			return [][2]string{{"listen 8000;", "listen 127.0.0.1:" + p.port + ";"}, {"127.0.0.1:8080", p.service}, {"127.0.0.1:9000", p.upstream}}
		},
		before: func(t testing.TB, p place) {
			t.Helper()
			// What a distribution has around the recipe, in a directory of its own, which only its owner may enter.
			user := ""
			if os.Getuid() == 0 {
				user = "user root;"
			}
			write(t, p.file(around), user+`
daemon off;
pid `+p.file("pid")+`;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path `+p.file("body")+`;
	proxy_temp_path `+p.file("proxy")+`;
	fastcgi_temp_path `+p.file("fastcgi")+`;
	uwsgi_temp_path `+p.file("uwsgi")+`;
	scgi_temp_path `+p.file("scgi")+`;
	include `+p.file("financelime-auth.conf")+`;
}
`)
		},
		command: func(p place) []string { return []string{"nginx", "-p", p.dir, "-e", "stderr", "-c", p.file(around)} },
		check: func(p place) []string {
			return []string{"nginx", "-t", "-p", p.dir, "-e", "stderr", "-c", p.file(around)}
		},
		asks:       true,
		away:       503,
		otherNames: true,
	}
}

func haproxy() *recipe {
	return &recipe{
		name:  "haproxy",
		files: []string{"haproxy.cfg"},
		fill: func(p place) [][2]string {
			return [][2]string{
				{"bind :8000", "bind 127.0.0.1:" + p.port},
				{"127.0.0.1:8080", p.service},
				{"127.0.0.1:9000", p.upstream},
				{"http://localhost:8080", issuer},
				{"/etc/haproxy/jwt", p.file("jwt")},
			}
		},
		before: func(t testing.TB, p place) {
			t.Helper()
			runToEnd(t, source(t, "haproxy", "jwks-to-pem"), p.keys, p.file("jwt"))
		},
		command: func(p place) []string { return []string{"haproxy", "-db", "-f", p.file("haproxy.cfg")} },
		check:   func(p place) []string { return []string{"haproxy", "-c", "-f", p.file("haproxy.cfg")} },
	}
}

func caddy() *recipe {
	const around = "around.Caddyfile"
	return &recipe{
		name:  "caddy",
		files: []string{"Caddyfile"},
		fill: func(p place) [][2]string {
			return [][2]string{{"http://:8000", "http://:" + p.port}, {"127.0.0.1:8080", p.service}, {"127.0.0.1:9000", p.upstream}}
		},
		before: func(t testing.TB, p place) {
			t.Helper()
			// Several may run on one machine, each without the port by which an operator changes it.
			write(t, p.file(around), "{\n\tadmin off\n}\nimport "+p.file("Caddyfile")+"\n")
		},
		command: func(p place) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", p.file(around)}
		},
		check: func(p place) []string {
			return []string{"caddy", "validate", "--adapter", "caddyfile", "--config", p.file(around)}
		},
		asks: true,
		away: 502,
	}
}

func envoy() *recipe {
	return &recipe{
		name:  "envoy",
		files: []string{"envoy.yaml"},
		fill: func(p place) [][2]string {
			_, service, _ := net.SplitHostPort(p.service)
			_, upstream, _ := net.SplitHostPort(p.upstream)
			return [][2]string{
				{"address: 0.0.0.0, port_value: 8000", "address: 127.0.0.1, port_value: " + p.port},
				{"address: 127.0.0.1, port_value: 8080", "address: 127.0.0.1, port_value: " + service},
				{"address: 127.0.0.1, port_value: 9000", "address: 127.0.0.1, port_value: " + upstream},
				{"http://127.0.0.1:8080", "http://" + p.service},
				{"http://localhost:8080", issuer},
			}
		},
		command: func(p place) []string {
			return []string{"envoy", "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning", "-c", p.file("envoy.yaml")}
		},
		check:        func(p place) []string { return []string{"envoy", "--mode", "validate", "-c", p.file("envoy.yaml")} },
		plainRefusal: true,
		passesNames:  true,
	}
}

func traefik() *recipe {
	return &recipe{
		name:  "traefik",
		files: []string{"traefik.yml", "dynamic.yml"},
		fill: func(p place) [][2]string {
			return [][2]string{
				{`":8000"`, `"127.0.0.1:` + p.port + `"`},
				{"/etc/traefik/dynamic.yml", p.file("dynamic.yml")},
				{"127.0.0.1:8080", p.service},
				{"127.0.0.1:9000", p.upstream},
			}
		},
		command:      func(p place) []string { return []string{"traefik", "--configFile=" + p.file("traefik.yml")} },
		asks:         true,
		away:         500,
		decodes:      true,
		refusesNames: true,
	}
}

func krakend() *recipe {
	return &recipe{
		name:  "krakend",
		files: []string{"krakend.json"},
		fill: func(p place) [][2]string {
			return [][2]string{
				{`"port": 8000`, `"port": ` + p.port},
				{"http://127.0.0.1:8080", "http://" + p.service},
				{"http://127.0.0.1:9000", "http://" + p.upstream},
				{"http://localhost:8080", issuer},
			}
		},
		command:      func(p place) []string { return []string{"krakend", p.file("krakend.json")} },
		namesOnly:    true,
		ownRefusals:  true,
		plainRefusal: true,
		firstHeader:  true,
		passesNames:  true,
	}
}

// source is the path of a file in deploy/gateways.
func source(t testing.TB, gateway, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "deploy", "gateways", gateway, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// copyTo puts the recipe's files into its place, filled in.
func (r *recipe) copyTo(t testing.TB, p place) {
	t.Helper()
	texts := make(map[string]string)
	for _, name := range r.files {
		text, err := os.ReadFile(source(t, r.name, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	var pairs []string
	for _, line := range r.fill(p) {
		found := false
		for _, text := range texts {
			found = found || strings.Contains(text, line[0])
		}
		if !found {
			t.Fatalf("the recipe of %s has no %q any more", r.name, line[0])
		}
		pairs = append(pairs, line[0], line[1])
	}
	for name, text := range texts {
		write(t, p.file(name), strings.NewReplacer(pairs...).Replace(text))
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func runToEnd(t testing.TB, command ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
}
