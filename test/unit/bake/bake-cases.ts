/** Bake files with the arguments that they are asked with; `recorded.json` has what buildx printed. */
export interface BakeCase {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  /** After `bake`; default `--print`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const hcl = (name: string, text: string, more: Omit<BakeCase, 'name' | 'files'> = {}): BakeCase => ({
  name,
  files: { 'docker-bake.hcl': text },
  ...more,
});

const print = (...args: string[]) => ({ args: ['--print', ...args] });

/** Expressions that give a text; each is an argument of one target. */
const expressions = (name: string, values: Readonly<Record<string, string>>): BakeCase =>
  hcl(
    name,
    `variable "V" { default = "x" }
variable "LIST" { default = ["a", "b", "c"] }
variable "OBJ" { default = { one = 1, two = 2 } }
target "default" {
  args = {
${Object.entries(values)
  .map(([key, value]) => `    ${key} = ${value}`)
  .join('\n')}
  }
}
`,
  );

const COMPOSE = `
services:
  web:
    image: example/web:1
    build:
      context: ./dir
      dockerfile: Dockerfile.alt
      args:
        - A=1
        - FROM_ENV
        - NOT_THERE
      labels: ["a=b", "c"]
      cache_from: ["example/cache", "type=local,src=x"]
      additional_contexts: { x: "service:a.b", y: ./z, img: docker-image://busybox }
      shm_size: 128m
      ulimits: { nproc: { soft: 1, hard: 2 } }
      extra_hosts: ["a:1.2.3.4", "b=::1"]
      network: host
      platforms: [linux/amd64]
      x-bake: { output: "type=docker", tags: ["x:\${TAG:-latest}"], no-cache: true }
  a.b:
    build: .
  no-build: { image: x }
  inline:
    build:
      dockerfile_inline: |
        FROM scratch
        COPY $\${X} /
      tags: [t1, t2]
      target: t
      pull: true
      no_cache: true
      provenance: mode=max
      sbom: true
`;

const TARGETS = `
group "default" { targets = ["app", "tools"] }
group "tools" {
  description = "what builds need"
  targets = ["lint", "test"]
}
target "base" {
  args = { A = 1, B = "two" }
  labels = { from = "base" }
  tags = ["base:1"]
  platforms = ["linux/amd64"]
  cache-from = ["example/cache"]
  output = ["type=docker"]
}
target "app" {
  inherits = ["base"]
  description = "the application"
  args = { B = 2 }
  tags = ["app:1", "app:2", "app:1"]
  cache-from = ["type=local,src=c", "example/cache"]
}
target "lint" {
  inherits = ["app", "base"]
  dockerfile = "lint.Dockerfile"
}
target "test" {
  context = "./sub/../sub/dir/"
  target = "test"
}
`;

const LINKS = `
group "g" {
  targets = ["x", "h"]
  description = "both"
}
group "h" { targets = ["y"] }
target "x" { contexts = { b = "target:y" } }
target "y" { contexts = { c = "target:z" } }
target "z" { entitlements = ["security.insecure"] }
`;

const VARIABLES = `
variable "TAG" { default = "latest" }
variable "COUNT" { default = 3 }
variable "ON" { default = true }
variable "EMPTY" {}
variable "NOTHING" { default = null }
variable "LIST" { default = [1, "b", true] }
variable "TYPED" {
  type = list(string)
  default = ["a"]
  description = "words"
}
variable "MAP" {
  type = map(number)
  default = { a = "1" }
}
variable "OBJECT" {
  type = object({ name = string, size = optional(number) })
  default = { name = "n" }
}
target "default" {
  tags = ["app:\${TAG}"]
  args = {
    COUNT = COUNT + 1
    ON = ON ? "yes" : "no"
    EMPTY = "[\${EMPTY}]"
    NOTHING = NOTHING == null ? "null" : NOTHING
    TYPED = join("|", TYPED)
    MAP = MAP["a"] + 1
    OBJECT = OBJECT.name
  }
}
`;

export const BAKE_CASES: readonly BakeCase[] = [
  hcl('an empty target', 'target "default" {}\n'),
  hcl('groups, inheritance and merging', TARGETS),
  hcl('a target by its name', TARGETS, print('lint')),
  hcl('a group by its name', TARGETS, print('tools')),
  hcl('targets by a pattern', TARGETS, print('*t')),
  hcl('targets and groups together', TARGETS, print('base', 'tools')),
  hcl('a list of targets', TARGETS, { args: ['--list=targets'] }),
  hcl('a list of targets as JSON', TARGETS, { args: ['--list=type=targets,format=json'] }),
  hcl(
    'set: texts, lists, maps',
    TARGETS,
    print(
      '--set',
      'app.context=other',
      '--set',
      'app.tags=new:1',
      '--set',
      'app.tags=new:2',
      '--set',
      '*.args.Z=last',
      '--set',
      'lint.dockerfile=x',
      '--set',
      'app.labels.l=v',
      '--set',
      'app.contexts.c=docker-image://busybox',
    ),
  ),
  hcl(
    'set: adding',
    TARGETS,
    print(
      '--set',
      'app.tags+=more:1',
      '--set',
      'app.cache-from+=type=gha',
      '--set',
      'app.output+=type=tar,dest=x.tar',
      '--set',
      'l*.platform+=linux/arm64',
    ),
  ),
  hcl(
    'set: replacing entries',
    TARGETS,
    print(
      '--set',
      '*.cache-from=type=local,src=y',
      '--set',
      '*.cache-to=type=inline',
      '--set',
      '*.output=out',
      '--set',
      '*.attest=type=sbom',
    ),
  ),
  hcl(
    'set: flags',
    TARGETS,
    print(
      '--set',
      '*.no-cache=true',
      '--set',
      'app.pull=1',
      '--set',
      'app.target=t',
      '--set',
      'app.shm-size=64m',
    ),
  ),
  hcl('set: an argument of the environment', TARGETS, {
    ...print('--set', 'app.args.FROM_ENV'),
    env: { FROM_ENV: 'value' },
  }),
  hcl('set: push', TARGETS, print('--set', '*.push=true')),
  hcl('flags: no-cache, pull, load', TARGETS, print('--no-cache', '--pull', '--load')),
  hcl('flags: provenance and sbom', TARGETS, print('--provenance=mode=max', '--sbom=false')),
  hcl('a source date of the environment', TARGETS, { env: { SOURCE_DATE_EPOCH: '1700000000' } }),
  hcl('links between targets', LINKS, print('g')),
  hcl('links that nobody asked for', LINKS, print('x')),
  hcl('groups in groups, listed', LINKS, { args: ['--list=targets'] }),
  hcl('variables with their defaults', VARIABLES),
  hcl('variables of the environment', VARIABLES, {
    env: {
      TAG: 'v1',
      COUNT: '41',
      ON: 'false',
      EMPTY: 'full',
      NOTHING: 'some',
      TYPED: 'x,y',
      MAP: 'a:7',
      OBJECT_JSON: '{"name":"j","size":2}',
    },
  }),
  hcl('a list of variables', VARIABLES, { args: ['--list=variables'] }),
  hcl('a list of variables as JSON', VARIABLES, {
    args: ['--list=type=variables,format=json'],
    env: { TAG: 'v2' },
  }),
  hcl('a number of the environment that is none', VARIABLES, { env: { COUNT: 'many' } }),
  hcl(
    'a validation that holds',
    'variable "P" {\n  default = "good"\n  validation {\n    condition = P != "bad"\n    error_message = "P is ${P}"\n  }\n}\ntarget "default" { args = { P = P } }\n',
  ),
  hcl(
    'a validation that fails',
    'variable "P" {\n  default = "good"\n  validation {\n    condition = P != "bad"\n    error_message = "P is ${P}"\n  }\n}\ntarget "default" { args = { P = P } }\n',
    { env: { P: 'bad' } },
  ),
  hcl(
    'a matrix with names',
    'target "app" {\n  matrix = { os = ["debian", "alpine"] }\n  name = "app-${os}"\n  args = { OS = os }\n}\ntarget "default" {\n  matrix = { item = [{ v = "1.0", n = "one" }, { v = "2.0", n = "two" }] }\n  name = "m-${replace(item.v, ".", "-")}"\n  tags = ["x:${item.n}"]\n}\n',
    print('app', 'default'),
  ),
  hcl(
    'a matrix without names',
    'target "app" {\n  matrix = { os = ["debian", "alpine"] }\n  args = { OS = os }\n}\n',
    print('app'),
  ),
  hcl(
    'a group of matrix targets',
    'group "default" { targets = ["app", "x"] }\ntarget "x" {}\ntarget "app" {\n  matrix = { os = ["a", "b"] }\n  name = "app-${os}"\n}\n',
  ),
  hcl(
    'references to other targets',
    'target "base" {\n  tags = ["b:1", "b:2"]\n  args = { K = "k${1 + 1}" }\n}\ntarget "default" {\n  args = {\n    T = target.base.tags[1]\n    K = target.base.args.K\n    N = length(target.base.tags)\n    M = try(target.base.context, "none")\n  }\n}\n',
  ),
  hcl(
    'functions of the file',
    'function "inc" {\n  params = [n]\n  result = n + 1\n}\nfunction "twice" {\n  params = [n]\n  result = inc(inc(n))\n}\nfunction "words" {\n  params = [first]\n  variadic_params = rest\n  result = "${first}: ${join(" ", rest)} ${TAG}"\n}\nvariable "TAG" { default = "t" }\ntarget "default" {\n  args = {\n    A = inc(41)\n    B = twice(1)\n    C = words("a", "b", "c")\n    D = words(["x", "y"]...)\n  }\n}\n',
  ),
  hcl(
    'global attributes',
    'version = "1.${MINOR}"\nMINOR = "7"\nvariable "OVER" { default = "default" }\nOVER = "attribute"\ntarget "default" { tags = ["app:${version}", "o:${OVER}"] }\n',
  ),
  hcl(
    'heredocs',
    'target "default" {\n  dockerfile-inline = <<EOT\nFROM scratch\n  RUN echo $${HOME} "a\\n"\nEOT\n  args = {\n    INDENTED = <<-EOT\n      one ${upper("x")}\n\n        two\n      three\n    EOT\n  }\n}\n',
  ),
  hcl(
    'all keys',
    'target "default" {\n  annotations = ["index:a=b"]\n  attest = ["type=provenance,mode=max", { type = "sbom" }]\n  context = "."\n  contexts = { c = "./d", gone = "" }\n  dockerfile = "D"\n  args = { X = null, Y = "<&>" }\n  labels = { "org.example.${1}" = "l" }\n  cache-from = [{ type = "registry", ref = "x" }, "a,b"]\n  cache-to = ["type=inline"]\n  call = "check"\n  entitlements = ["network.host"]\n  extra-hosts = { h = "1.2.3.4" }\n  network = "host"\n  no-cache = "true"\n  no-cache-filter = ["a", "a", ""]\n  output = ["type=docker", "out", "-", { type = "oci", dest = "x.tar" }]\n  platforms = ["linux/amd64", "linux/arm64"]\n  pull = false\n  secret = [{ id = "b", env = "B" }, "id=c,env=C", "type=env,id=d"]\n  shm-size = "128m"\n  ulimits = ["nofile=1024:1024"]\n  target = ""\n}\n',
    { env: { B: '1', C: '2', d: '3' } },
  ),
  hcl(
    'built-in variables',
    'target "default" {\n  context = BAKE_CMD_CONTEXT\n  args = {\n    C = BAKE_CMD_CONTEXT\n    P = BAKE_LOCAL_PLATFORM\n  }\n}\n',
  ),
  expressions('operators', {
    A: '1 + 2 * 3 - 4 / 2',
    B: '-7 % 3',
    C: '(1 + 2) * 3 == 9 && !(2 > 3) || false',
    D: '1 == "1"',
    E: '[1, 2] == [1, 2]',
    F: '0.1 + 0.2',
    G: 'V == "x" ? "same" : "other"',
    H: '10 / 4',
    I: '"5" + 1',
    J: '1e3',
    K: '{ a = 1 } == { a = 1 }',
    L: '3 >= 3 && 2 <= 3 && 1 != 2',
  }),
  expressions('templates', {
    A: '"${V}-${1 + 1}-${true}"',
    B: '"%{ if V == "x" }yes%{ else }no%{ endif }"',
    C: '"%{ for i, w in LIST }${i}=${w};%{ endfor }"',
    D: '"$${V} %%{x} \\u00e9 \\t\\\\ \\""',
    E: '"  ${~ V ~}  |"',
    F: '"a $ b % c $$ {x}"',
    G: '"%{ for w in LIST ~}\n" == "" ? 1 : 2'.replace('\n', '  ${w} %{ endfor ~}  '),
    H: '"${"nested ${V}"}"',
  }),
  expressions('collections', {
    A: 'join(",", [for w in LIST : upper(w) if w != "b"])',
    B: 'jsonencode({for k, v in OBJ : k => v * 2})',
    C: 'jsonencode({for w in ["a", "b", "a"] : w => w...})',
    D: 'join(",", [{ n = "p" }, { n = "q" }][*].n)',
    E: 'join(",", [{ n = ["p"] }, { n = ["q"] }].*.n[0])',
    F: 'LIST[1]',
    G: 'OBJ["two"]',
    H: 'LIST.0',
    I: 'jsonencode([for i, w in LIST : "${i}${w}"])',
    J: 'jsonencode({ "a b" = [], (V) = { y = null }, c : "<>" })',
    K: '{ x = { y = [10, 20] } }.x.y[1]',
  }),
  expressions('functions of texts', {
    A: 'format("%s-%d-%05.1f-%q-%v-%t|%-4s|%4s|%%", "a", 7, 1.25, "q", [1], true, "l", "r")',
    B: 'regex_replace("v1.2.3", "^v(\\\\d+)\\\\.(\\\\d+).*", "$${1}_$2")',
    C: 'jsonencode(regexall("[a-z]+", "ab 12 cd"))',
    D: 'jsonencode(regex("(?P<y>\\\\d{4})-(?P<m>\\\\d\\\\d)", "on 2024-05-06"))',
    E: 'substr("héllo", 1, 3)',
    F: 'title("hello wide world")',
    G: 'trim("xxaxx", "x")',
    H: 'trimprefix("v1", "v")',
    I: 'trimsuffix("a.txt", ".txt")',
    J: 'indent(2, "a\\nb")',
    K: 'chomp("a\\n\\n")',
    L: 'reverse("abc")',
    M: 'strlen("héé")',
    N: 'replace("1.2.3", ".", "-")',
    O: 'sanitize("a.b/c d")',
    P: 'urlencode("a b&c/é*")',
    Q: 'join(",", split("/", "a/b/c"))',
    R: 'join(",", formatlist("%s!", ["a", "b"]))',
    S: 'basename("/a/b/c.txt")',
    T: 'dirname("/a/b/c.txt")',
    U: 'lower("ABC")',
    W: 'trimspace("  a b ")',
  }),
  expressions('functions of numbers', {
    A: 'add(1, 2)',
    B: 'max(1, 5, 3)',
    C: 'min(4, 2)',
    D: 'ceil(1.2)',
    E: 'floor(-1.2)',
    F: 'absolute(-3)',
    G: 'pow(2, 10)',
    H: 'log(8, 2)',
    I: 'signum(-4)',
    J: 'parseint("ff", 16)',
    K: 'int(3.9)',
    L: 'modulo(7, 3)',
    M: 'divide(7, 2)',
    N: 'greaterthan(2, 1)',
    O: 'jsonencode(range(1, 6, 2))',
    P: 'jsonencode(range(3))',
    Q: 'negate(4)',
  }),
  expressions('functions of lists', {
    A: 'join(",", concat(["a"], ["b", "c"]))',
    B: 'contains(LIST, "b")',
    C: 'join(",", distinct(["a", "b", "a"]))',
    D: 'element(LIST, 4)',
    E: 'jsonencode(flatten([["a"], [["b"], "c"]]))',
    F: 'join(",", keys(OBJ))',
    G: 'jsonencode(values(OBJ))',
    H: 'lookup({ a = "1" }, "z", "none")',
    I: 'jsonencode(merge({ a = 1 }, { b = 2, a = 3 }))',
    J: 'join(",", reverselist(LIST))',
    K: 'join(",", slice(LIST, 1, 3))',
    L: 'join(",", sort(["c", "a", "b"]))',
    M: 'jsonencode(zipmap(["a", "b"], [1, 2]))',
    N: 'join(",", compact(["a", "", "b"]))',
    O: 'coalesce(null, "x")',
    P: 'jsonencode(chunklist(["a", "b", "c"], 2))',
    Q: 'jsonencode(setproduct(["a", "b"], ["1", "2"]))',
    R: 'indexof(LIST, "c")',
    S: 'length(LIST)',
    T: 'jsonencode(coalescelist([], ["y"]))',
    U: 'jsonencode(setunion(["b"], ["a", "b"]))',
    W: 'index(LIST, 1)',
  }),
  expressions('functions of codes and times', {
    A: 'base64encode("tsbuild")',
    B: 'base64decode("dHNidWlsZA==")',
    C: 'md5("a")',
    D: 'sha1("a")',
    E: 'sha256("a")',
    F: 'sha512("a")',
    G: 'jsonencode({ b = [1, true, null], a = "x" })',
    H: 'jsondecode("{\\"a\\":[1,2]}").a[1]',
    I: 'formatdate("YYYY-MM-DD\'T\'hh:mm:ssZ EEE MMM D H AA", "2024-05-06T17:08:09Z")',
    J: 'timeadd("2024-05-06T07:08:09Z", "1h30m")',
    K: 'jsonencode(csvdecode("a,b\\n1,2"))',
    M: 'can(LIST[9])',
    N: 'try(LIST[9], "other")',
    O: 'and(true, false)',
    P: 'equal("a", "a")',
  }),
  {
    name: 'JSON',
    files: {
      'docker-bake.json': JSON.stringify({
        '//': 'a comment',
        variable: { TAG: { default: 'x' }, N: { default: 2 } },
        group: { default: { targets: ['a', 'b'] } },
        function: { shout: { params: ['s'], result: '${upper(s)}!' } },
        target: {
          a: { args: { K: '${shout("a")} ${TAG}', N: '${N + 1}', T: true, D: '$${x}' }, tags: ['a:${TAG}'] },
          b: {
            inherits: ['a'],
            contexts: { c: 'target:a' },
            'cache-from': [{ type: 'registry', ref: 'r' }],
            'no-cache': true,
          },
        },
      }),
    },
  },
  {
    name: 'all usual files, one over the other',
    files: {
      'docker-compose.yml': COMPOSE,
      'docker-bake.json': '{"target": {"web": {"tags": ["json:1"], "args": {"J": "1"}}}}',
      'docker-bake.hcl': 'target "web" { args = { A = "hcl" } }\n',
      'docker-bake.override.json': '{"target": {"web": {"labels": {"o": "json"}}}}',
      'docker-bake.override.hcl':
        'group "default" { targets = ["web"] }\ntarget "web" { dockerfile = "Over" }\n',
    },
    env: { FROM_ENV: 'env' },
  },
  { name: 'compose', files: { 'compose.yaml': COMPOSE }, env: { FROM_ENV: 'env' } },
  {
    name: 'compose, one service',
    files: { 'docker-compose.yaml': COMPOSE },
    args: ['--print', 'web'],
    env: { TAG: 'v3' },
  },
  { name: 'compose, a list', files: { 'compose.yml': COMPOSE }, args: ['--list=targets'] },
  {
    name: 'compose, an environment file and secrets',
    files: {
      'compose.yaml':
        'services:\n  app:\n    environment: { SVC: svc }\n    build:\n      context: .\n      args: { V: "${VERSION}", SVC: null, Q: "${QUOTED:?needed}", N: "${NOPE-none}", P: "${VERSION:+set}" }\n      secrets: [s, { source: t, target: u }]\nsecrets: { s: { file: ./f }, t: { environment: VERSION } }\n',
      '.env': '# comment\nVERSION=1.2 # end\nQUOTED="a b"\n',
      f: 'secret',
    },
  },
  {
    name: 'compose, two files',
    files: {
      'a.yml': 'services:\n  app:\n    image: one\n    build: { context: a, args: { A: "1", B: "1" } }\n',
      'b.yml': 'services:\n  app:\n    image: two\n    build: { args: { B: "2" }, tags: [t] }\n',
    },
    args: ['-f', 'a.yml', '-f', 'b.yml', '--print'],
  },
  {
    name: 'files by name',
    files: {
      'one.hcl': 'target "default" { tags = ["one"] }\n',
      'two.json': '{"target": {"default": {"tags": ["two"], "labels": {"l": "2"}}}}',
    },
    args: ['-f', 'one.hcl', '-f', 'two.json', '--print'],
  },
  {
    name: 'files of the environment',
    files: { 'one.hcl': 'target "default" { tags = ["one"] }\n' },
    env: { BUILDX_BAKE_FILE: 'one.hcl' },
  },
  hcl(
    'comments and layout',
    '# one\n// two\n/* three\n */ target "default" { # four\n  args = { // five\n    A = 1, B = 2\n    C = [\n      1,\n      2, # six\n    ] == [1, 2]\n  }\n\n  tags = [\n    "a",\n  ]\n}',
  ),
  hcl('an unknown target', TARGETS, print('ap')),
  hcl('an unknown variable', 'target "default" {\n  tags = [nope]\n}\n'),
  hcl('an unknown function', 'target "default" {\n  tags = [nope("a")]\n}\n'),
  hcl('an unknown key', 'target "default" {\n  tgas = ["a"]\n}\n'),
  hcl('a value of the wrong kind', 'target "default" {\n  tags = "x"\n}\n'),
  hcl('a comma that is missing', 'target "default" {\n  tags = ["a" "b"]\n}\n'),
  hcl('a text that does not end', 'target "default" {\n  context = "a\n}\n'),
  hcl('a brace that is missing', 'target "default" {\n  context = "a"\n'),
  hcl(
    'a circle of variables',
    'variable "A" { default = B }\nvariable "B" { default = A }\ntarget "default" { args = { x = A } }\n',
  ),
  hcl(
    'a circle of contexts',
    'target "default" { contexts = { x = "target:b" } }\ntarget "b" { contexts = { y = "target:default" } }\n',
  ),
  hcl('a name that is none', 'target "a.b" {}\n', print('a.b')),
  hcl('set: an unknown key', TARGETS, print('--set', 'app.tgas=x')),
  hcl('set: an unknown target', TARGETS, print('--set', 'nothing.tags=x')),
];
