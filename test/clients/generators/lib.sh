# shellcheck shell=bash
# What the scripts `walk` share. A script begins with
#
#	#!/usr/bin/env bash
#	set -euo pipefail
#	# shellcheck source=/dev/null
#	source "$LIB"
#
# generators_test.go runs it in a fresh copy of its folder, with:
#
#	OPENAPI       the path of openapi.yaml
#	AUTH_URL      the service; every response is validated against openapi.yaml
#	AUTH_INVITE   an invite code with many uses
#	INBOX         GET $INBOX/link?to=EMAIL waits for the mail and returns "KEY RID", GET $INBOX/password?to=EMAIL the password
#	TOOLS         a folder for downloads and builds that outlives the run
#	NODE_MODULES  the packages of test/clients/package.json
#
# It announces its four steps, in this order: generate, compile, wrong, walk. generators_test.go also checks that the walk has caused the
# responses of the whole journey.

# step NAME announces the next step.
step() { printf '=== %s\n' "$1"; }

# rejects ERRORS EXPECTED COMMAND... runs a compiler that must fail: the lines of its output that match the regular expression ERRORS are its
# errors; there must be at least one, and each must match EXPECTED too. So a compiler that fails for another reason does not pass.
rejects() {
	local errors=$1 expected=$2 output found
	shift 2
	if output=$("$@" 2>&1); then
		printf 'rejects: it compiles: %s\n%s\n' "$*" "$output" >&2
		return 1
	fi
	found=$(grep -E -- "$errors" <<<"$output") || true
	if [[ -z $found ]] || grep -vE -- "$expected" <<<"$found" >&2; then
		printf 'rejects: other errors than %s:\n%s\n' "$expected" "$output" >&2
		return 1
	fi
	printf '%s\n' "$found"
}

# quietly COMMAND... shows the output of a command only if it fails.
quietly() {
	local output
	output=$("$@" 2>&1) || {
		printf '%s\n' "$output" >&2
		return 1
	}
}

# exclusively COMMAND... runs a command that changes $TOOLS or the machine, one at a time. It must not be nested.
exclusively() {
	mkdir -p "$TOOLS"
	(
		flock 9
		"$@"
	) 9>"$TOOLS/lock"
}

# need TEST PACKAGE... installs Debian's packages if the command TEST fails.
need() { eval "$1" >/dev/null 2>&1 || exclusively install_packages "$@"; }

install_packages() {
	local test=$1 root=(env)
	shift
	! eval "$test" >/dev/null 2>&1 || return 0 # another script has installed it meanwhile
	if command -v apt-get >/dev/null && { [[ $(id -u) -eq 0 ]] || sudo -n true 2>/dev/null; }; then
		[[ $(id -u) -eq 0 ]] || root=(sudo -n env)
		echo "installing $* with apt-get" >&2
		"${root[@]}" apt-get -q update >&2
		"${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@" >&2
	fi
	eval "$test" >/dev/null || {
		echo "\`$test\` fails, and could not be made to work (Debian: apt-get install $*)" >&2
		return 1
	}
}

# download URL SHA256 FILE downloads a file into $TOOLS once.
download() {
	need 'command -v curl' curl ca-certificates
	exclusively download_once "$@"
}

download_once() {
	local url=$1 sum=$2 file=$TOOLS/$3
	if ! sha256sum --status -c <<<"$sum  $file" 2>/dev/null; then
		curl -fsSL --retry 3 -o "$file.part" "$url"
		sha256sum --quiet -c <<<"$sum  $file.part"
		mv "$file.part" "$file"
	fi
}

# openapi_generator OPTION... generates a client from $OPENAPI with openapi-generator, which it downloads from Maven Central. MAVEN_CENTRAL may
# name a mirror.
openapi_generator() {
	local version=7.25.0
	need 'command -v java' default-jre-headless
	download "${MAVEN_CENTRAL:-https://repo1.maven.org/maven2}/org/openapitools/openapi-generator-cli/$version/openapi-generator-cli-$version.jar" \
		41ce4f6b07f196676439d710759fa1ced7a08066d06ff1bf314681470289efae openapi-generator-cli.jar
	quietly java -jar "$TOOLS/openapi-generator-cli.jar" generate --input-spec="$OPENAPI" "$@"
}

# python_venv links ./venv to a virtual environment with the packages of ./requirements.txt, which it creates once.
python_venv() {
	local venv
	need 'python3 -m ensurepip --version' python3 python3-venv
	venv=$TOOLS/python-$(sha256sum requirements.txt | cut -c -16)
	exclusively create_venv "$venv"
	ln -s "$venv" venv
}

create_venv() {
	[[ ! -e $1/complete ]] || return 0
	rm -rf "$1"
	python3 -m venv "$1"
	"$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	touch "$1/complete"
}

# maven_classpath POM [OPTION...] writes the class path of a Maven project's dependencies into ./classpath.
maven_classpath() {
	local pom=$1
	shift
	need 'mvn --version' maven
	quietly exclusively mvn --batch-mode --strict-checksums --file "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath \
		-Dmdep.outputFile="$PWD/classpath" "$@"
}
