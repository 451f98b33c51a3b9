package deploy

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var names = regexp.MustCompile(`AUTH_[A-Z0-9]+(?:_[A-Z0-9]+)*`)

// settings returns the settings that --help documents.
func settings(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(binary, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, match := range regexp.MustCompile(`\$(AUTH_[A-Z0-9_]+)`).FindAllStringSubmatch(string(out), -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	if found = slices.Compact(found); len(found) < 20 {
		t.Fatalf("--help documents only %v", found)
	}
	return found
}

// TestDocumentedSettingsExist checks that deploy/ and the documentation name only existing settings, and that README names all of them.
func TestDocumentedSettingsExist(t *testing.T) {
	t.Parallel()
	known := settings(t)
	for _, dir := range []string{"deploy", "docs", "README.md", "ARCHITECTURE.md"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			for _, name := range names.FindAllString(string(content), -1) {
				family := slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, name+"_") }) // AUTH_LIMIT_...
				if !slices.Contains(known, name) && !family {
					t.Errorf("%s names %s, which is not a setting", path, name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	readme := names.FindAllString(read(t, "README.md"), -1)
	for _, name := range known {
		if !slices.Contains(readme, name) {
			t.Errorf("README does not name %s", name)
		}
	}
}

// checkSettings fails the test unless the service accepts the settings. It creates the files that they name.
func checkSettings(t *testing.T, settings, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(binary, "version")
	cmd.Dir = dir
	for name, value := range settings {
		if strings.HasSuffix(name, "_FILE") {
			content, known := files[value]
			if !known {
				t.Errorf("%s: nothing creates the file %s", name, value)
				continue
			}
			value = filepath.Join(dir, filepath.Base(value))
			if err := os.WriteFile(value, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v: %s", settings, err, out)
	}
}

// parse decodes the documents of a YAML file.
func parse[T any](t *testing.T, path ...string) []T {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, path...)))
	var documents []T
	for {
		var d T
		if err := decoder.Decode(&d); err != nil {
			if len(documents) == 0 {
				t.Fatal(err)
			}
			return documents
		}
		documents = append(documents, d)
	}
}

// TestComposeSettings checks the settings and secrets of compose.yaml.
func TestComposeSettings(t *testing.T) {
	t.Parallel()
	compose := parse[struct {
		Services map[string]struct {
			Environment map[string]string
			Secrets     []string
			Ports       []string
		}
		Secrets map[string]struct{ File string }
	}](t, "deploy", "compose", "compose.yaml")[0]

	// The script creates every secret, and a second run does not change them.
	secrets := t.TempDir()
	prepare := func() map[string]string {
		if out, err := exec.Command(filepath.Join(root, "deploy", "compose", "prepare"), secrets).CombinedOutput(); err != nil {
			t.Fatalf("prepare: %v: %s", err, out)
		}
		made := map[string]string{}
		for name, secret := range compose.Secrets {
			content, err := os.ReadFile(filepath.Join(secrets, filepath.Base(secret.File)))
			if err != nil {
				t.Fatal(err)
			}
			made["/run/secrets/"+name] = string(content)
		}
		return made
	}
	files := prepare()
	if !maps.Equal(files, prepare()) {
		t.Error("a second run of prepare changes the secrets")
	}
	for _, name := range []string{"auth-1", "auth-2"} {
		service, found := compose.Services[name]
		if !found {
			t.Fatalf("there is no service %s", name)
		}
		environment := maps.Clone(service.Environment)
		if environment["AUTH_SECRET_PREVIOUS"] == "${AUTH_SECRET_PREVIOUS:-}" { // the default of compose if the variable is not set
			environment["AUTH_SECRET_PREVIOUS"] = ""
		}
		checkSettings(t, environment, files)
		for setting, path := range service.Environment {
			if strings.HasSuffix(setting, "_FILE") && !slices.Contains(service.Secrets, filepath.Base(path)) {
				t.Errorf("%s: the service has no secret %s", setting, path)
			}
		}
	}
	if ports := compose.Services["auth-1"].Ports; len(ports) > 0 {
		t.Errorf("the service has published ports: %v", ports)
	}
	for _, name := range []string{"auth-1", "auth-2"} {
		environment := compose.Services[name].Environment
		if environment["AUTH_ADMIN_ADDR"] != ":8081" {
			t.Errorf("%s: Prometheus does not reach the admin port at %q", name, environment["AUTH_ADMIN_ADDR"])
		}
		if _, has := environment["AUTH_SECRET_PREVIOUS"]; !has {
			t.Errorf("%s: AUTH_SECRET_PREVIOUS is missing", name)
		}
	}
	checkMailCertificate(t, files["/run/secrets/mail_url"], files["/run/secrets/mail_ca"], files["/run/secrets/mail_key"])
}

// TestKubernetesSettings checks the settings of the Deployment.
func TestKubernetesSettings(t *testing.T) {
	t.Parallel()
	type env struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef struct {
				Key      string
				Optional bool
			} `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	type object struct {
		Kind       string
		Data       map[string]string
		StringData map[string]string `yaml:"stringData"`
		Spec       struct {
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Env          []env
						VolumeMounts []struct {
							MountPath string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
				}
			}
		}
	}
	settings, files := map[string]string{}, map[string]string{}
	var secret map[string]string
	for _, o := range parse[object](t, "deploy", "kubernetes", "configuration.yaml") {
		maps.Copy(settings, o.Data)
		if o.Kind == "Secret" {
			secret = o.StringData
		}
	}
	deployment := parse[object](t, "deploy", "kubernetes", "service.yaml")[0]
	container := deployment.Spec.Template.Spec.Containers[0]
	for key, value := range secret {
		if key == "secret" {
			value = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
		}
		files[container.VolumeMounts[0].MountPath+"/"+key] = value
	}
	for _, e := range container.Env {
		settings[e.Name] = e.Value
	}
	checkSettings(t, settings, files)
	// AUTH_SECRET_PREVIOUS is optional in the Secret: it exists only while the secret is changed.
	other := slices.IndexFunc(container.Env, func(e env) bool { return e.Name == "AUTH_SECRET_PREVIOUS" })
	if other < 0 || container.Env[other].ValueFrom.SecretKeyRef.Key != "secret_previous" || !container.Env[other].ValueFrom.SecretKeyRef.Optional {
		t.Errorf("AUTH_SECRET_PREVIOUS is missing: %+v", container.Env)
	}
	if settings["AUTH_SHUTDOWN_DELAY"] != "10s" || deployment.Spec.Template.Spec.Grace < 10+25+10 {
		t.Errorf("AUTH_SHUTDOWN_DELAY is %s, and the pod is killed after %d s", settings["AUTH_SHUTDOWN_DELAY"], deployment.Spec.Template.Spec.Grace)
	}
}

// TestKubernetesNetwork checks the Services and the network policy. While the database is unavailable no pod is ready, but the keys are
// still served, so one Service includes pods that are not ready.
func TestKubernetesNetwork(t *testing.T) {
	t.Parallel()
	services := map[string]bool{}
	for _, o := range parse[struct {
		Kind     string
		Metadata struct{ Name string }
		Spec     struct {
			NotReady bool `yaml:"publishNotReadyAddresses"`
			Ports    []struct {
				TargetPort string `yaml:"targetPort"`
			}
		}
	}](t, "deploy", "kubernetes", "service.yaml") {
		if o.Kind != "Service" {
			continue
		}
		services[o.Metadata.Name] = o.Spec.NotReady
		for _, p := range o.Spec.Ports {
			if p.TargetPort != "http" {
				t.Errorf("%s has the target port %s", o.Metadata.Name, p.TargetPort)
			}
		}
	}
	if want := map[string]bool{"financelime-auth": false, "financelime-auth-keys": true}; !maps.Equal(services, want) {
		t.Errorf("services and whether they include pods that are not ready: %v, want %v", services, want)
	}
	policy := parse[struct {
		Spec struct {
			Egress []struct{ Ports []struct{ Port int } }
		}
	}](t, "deploy", "kubernetes", "network.yaml")[0]
	open := map[int]bool{}
	for _, rule := range policy.Spec.Egress {
		for _, p := range rule.Ports {
			open[p.Port] = true
		}
	}
	for what, port := range map[string]int{"DNS": 53, "PostgreSQL": 5432, "SMTP": 587, "SMTP with TLS": 465, "OTLP": 4318} {
		if !open[port] {
			t.Errorf("%s: egress to port %d is not allowed", what, port)
		}
	}
}
