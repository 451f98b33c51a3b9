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

// recipe is one gateway: its files in deploy/gateways and how it differs from the others.
type recipe struct {
	name  string
	files []string

	// replacements returns pairs of old and new text: the values in the files that an operator changes too.
	replacements func(environment) [][2]string
	// prepare creates what the gateway needs in addition to its files.
	prepare func(testing.TB, environment)
	// command starts the gateway; its files are in the directory of its environment.
	command func(environment) []string
	// check validates the files; nil if the gateway has no such command.
	check func(environment) []string

	// online: the gateway calls the service to verify each token. Otherwise it verifies tokens with the public keys.
	online bool
	// unavailable is the lowest status that an online gateway returns if the service is unavailable.
	unavailable int
	// exactPaths: the configuration lists each protected path, so that other paths cannot be tested.
	exactPaths bool
	// ownErrors: the gateway itself returns 404 and 405 for unknown paths and methods, and its 401 has another format.
	ownErrors bool
	// own401: the gateway's 401 does not have the service's format.
	own401 bool
	// otherHeaders: the gateway passes headers of clients that begin with x-auth- and that the service does not set.
	otherHeaders bool
	// followsRedirects: the gateway follows redirects of the service itself, so it cannot pass the one of the contract.
	followsRedirects bool
	// decodes: the gateway changes %76 in a path to v, which is equivalent (RFC 3986 section 6.2.2.2).
	decodes bool
	// firstHeader: the gateway uses the first of two authorization headers.
	firstHeader bool
	// passesRequestIDs: the gateway passes every request-id unchanged. rejectsRequestIDs: it rejects a malformed one with 400. Otherwise
	// it replaces a malformed one.
	passesRequestIDs, rejectsRequestIDs bool
}

// environment is the directory of a gateway and the addresses that it uses.
type environment struct {
	dir      string
	port     string // of the gateway
	service  string // host:port
	upstream string // host:port
	keys     string // base URL of the service that publishes the keys
}

func (env environment) file(name string) string { return filepath.Join(env.dir, name) }

// issuer is the harness's AUTH_PUBLIC_URL.
const issuer = "https://auth.example.test"

func recipes() []*recipe {
	return []*recipe{nginx(), haproxy(), caddy(), envoy(), traefik(), krakend()}
}

func nginx() *recipe {
	const mainConfig = "nginx.conf"
	return &recipe{
		name:  "nginx",
		files: []string{"financelime-auth.conf"},
		replacements: func(env environment) [][2]string {
			return [][2]string{{"listen 8000;", "listen 127.0.0.1:" + env.port + ";"}, {"127.0.0.1:8080", env.service}, {"127.0.0.1:9000", env.upstream}}
		},
		prepare: func(t testing.TB, env environment) {
			t.Helper()
			// The main configuration of a distribution, with paths in a directory that only its owner can access.
			user := ""
			if os.Getuid() == 0 {
				user = "user root;"
			}
			write(t, env.file(mainConfig), user+`
daemon off;
pid `+env.file("pid")+`;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path `+env.file("body")+`;
	proxy_temp_path `+env.file("proxy")+`;
	fastcgi_temp_path `+env.file("fastcgi")+`;
	uwsgi_temp_path `+env.file("uwsgi")+`;
	scgi_temp_path `+env.file("scgi")+`;
	include `+env.file("financelime-auth.conf")+`;
}
`)
		},
		command: func(env environment) []string {
			return []string{"nginx", "-p", env.dir, "-e", "stderr", "-c", env.file(mainConfig)}
		},
		check: func(env environment) []string {
			return []string{"nginx", "-t", "-p", env.dir, "-e", "stderr", "-c", env.file(mainConfig)}
		},
		online:       true,
		unavailable:  503,
		otherHeaders: true,
	}
}

func haproxy() *recipe {
	return &recipe{
		name:  "haproxy",
		files: []string{"haproxy.cfg"},
		replacements: func(env environment) [][2]string {
			return [][2]string{
				{"bind :8000", "bind 127.0.0.1:" + env.port},
				{"127.0.0.1:8080", env.service},
				{"127.0.0.1:9000", env.upstream},
				{"http://localhost:8080", issuer},
				{"/etc/haproxy/jwt", env.file("jwt")},
			}
		},
		prepare: func(t testing.TB, env environment) {
			t.Helper()
			runToEnd(t, source(t, "haproxy", "jwks-to-pem"), env.keys, env.file("jwt"))
		},
		command: func(env environment) []string { return []string{"haproxy", "-db", "-f", env.file("haproxy.cfg")} },
		check:   func(env environment) []string { return []string{"haproxy", "-c", "-f", env.file("haproxy.cfg")} },
	}
}

func caddy() *recipe {
	const mainConfig = "main.Caddyfile"
	return &recipe{
		name:  "caddy",
		files: []string{"Caddyfile"},
		replacements: func(env environment) [][2]string {
			return [][2]string{{"http://:8000", "http://:" + env.port}, {"127.0.0.1:8080", env.service}, {"127.0.0.1:9000", env.upstream}}
		},
		prepare: func(t testing.TB, env environment) {
			t.Helper()
			// Without the admin port, so that several can run on one machine.
			write(t, env.file(mainConfig), "{\n\tadmin off\n}\nimport "+env.file("Caddyfile")+"\n")
		},
		command: func(env environment) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", env.file(mainConfig)}
		},
		check: func(env environment) []string {
			return []string{"caddy", "validate", "--adapter", "caddyfile", "--config", env.file(mainConfig)}
		},
		online:      true,
		unavailable: 502,
	}
}

func envoy() *recipe {
	return &recipe{
		name:  "envoy",
		files: []string{"envoy.yaml"},
		replacements: func(env environment) [][2]string {
			_, service, _ := net.SplitHostPort(env.service)
			_, upstream, _ := net.SplitHostPort(env.upstream)
			return [][2]string{
				{"address: 0.0.0.0, port_value: 8000", "address: 127.0.0.1, port_value: " + env.port},
				{"address: 127.0.0.1, port_value: 8080", "address: 127.0.0.1, port_value: " + service},
				{"address: 127.0.0.1, port_value: 9000", "address: 127.0.0.1, port_value: " + upstream},
				{"http://127.0.0.1:8080", "http://" + env.service},
				{"http://localhost:8080", issuer},
			}
		},
		command: func(env environment) []string {
			return []string{"envoy", "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning", "-c", env.file("envoy.yaml")}
		},
		check: func(env environment) []string {
			return []string{"envoy", "--mode", "validate", "-c", env.file("envoy.yaml")}
		},
		own401:           true,
		passesRequestIDs: true,
	}
}

func traefik() *recipe {
	return &recipe{
		name:  "traefik",
		files: []string{"traefik.yml", "dynamic.yml"},
		replacements: func(env environment) [][2]string {
			return [][2]string{
				{`":8000"`, `"127.0.0.1:` + env.port + `"`},
				{"/etc/traefik/dynamic.yml", env.file("dynamic.yml")},
				{"127.0.0.1:8080", env.service},
				{"127.0.0.1:9000", env.upstream},
			}
		},
		command:           func(env environment) []string { return []string{"traefik", "--configFile=" + env.file("traefik.yml")} },
		online:            true,
		unavailable:       500,
		decodes:           true,
		rejectsRequestIDs: true,
	}
}

func krakend() *recipe {
	return &recipe{
		name:  "krakend",
		files: []string{"krakend.json"},
		replacements: func(env environment) [][2]string {
			return [][2]string{
				{`"port": 8000`, `"port": ` + env.port},
				{"http://127.0.0.1:8080", "http://" + env.service},
				{"http://127.0.0.1:9000", "http://" + env.upstream},
				{"http://localhost:8080", issuer},
			}
		},
		command:          func(env environment) []string { return []string{"krakend", env.file("krakend.json")} },
		exactPaths:       true,
		ownErrors:        true,
		followsRedirects: true,
		own401:           true,
		firstHeader:      true,
		passesRequestIDs: true,
	}
}

// source returns the path of a file in deploy/gateways.
func source(t testing.TB, gateway, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "deploy", "gateways", gateway, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// copyTo copies the files into the environment's directory, with the replacements.
func (r *recipe) copyTo(t testing.TB, env environment) {
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
	for _, line := range r.replacements(env) {
		found := false
		for _, text := range texts {
			found = found || strings.Contains(text, line[0])
		}
		if !found {
			t.Fatalf("the files of %s do not contain %q", r.name, line[0])
		}
		pairs = append(pairs, line[0], line[1])
	}
	for name, text := range texts {
		write(t, env.file(name), strings.NewReplacer(pairs...).Replace(text))
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
