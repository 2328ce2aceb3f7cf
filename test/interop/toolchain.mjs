// Finds the tools and gets the released clients: jars through Maven, a Go program, npm packages. Kept between runs in the cache folder.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))

/** Same folder and layout as other RocketMQ tooling may use: `<version>/lib/*.jar`. */
const cache =
  process.env.TANDEMMQ_INTEROP_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tandemmq-interop')

const tools = {
  java: ['-version', 'a JDK, 11 or later, runs the Java clients and mqadmin'],
  javac: ['-version', 'a JDK, 11 or later, compiles the Java drivers'],
  mvn: ['-v', 'Maven, 3.6 or later, fetches the Java clients'],
  npm: ['-v', 'npm fetches the ali-ons client'],
  go: ['version', 'Go, 1.24 or later, builds the Go driver'],
}

/** @returns one line for each tool that is needed and does not run */
export function missingTools(names) {
  return [...names].flatMap((name) => {
    const [flag, why] = tools[name]
    const { status } = spawnSync(name, [flag], { stdio: 'ignore' })
    return status === 0 ? [] : [`${name} is missing: ${why}`]
  })
}

function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (status === 0) return stdout
  const said = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-15).join('\n')
  throw new Error(`${command} ${args.join(' ')} failed${error ? ` (${error.message})` : ''}\n${said}`)
}

/** @returns class path of the released jars of that version */
function jars(version) {
  const lib = join(cache, version, 'lib')
  if (
    !existsSync(join(lib, `rocketmq-client-${version}.jar`)) ||
    !existsSync(join(lib, `rocketmq-tools-${version}.jar`))
  ) {
    const staging = `${lib}.${process.pid}`
    mkdirSync(staging, { recursive: true })
    console.error(`Fetching the Java client ${version} …`)
    run('mvn', [
      ...['-B', '-q', '-f', join(here, 'java/pom.xml'), `-Drocketmq.version=${version}`],
      ...['dependency:copy-dependencies', `-DoutputDirectory=${staging}`, '-DincludeScope=runtime'],
    ])
    rmSync(lib, { recursive: true, force: true })
    renameSync(staging, lib)
  }
  return join(lib, '*')
}

/** @returns class path of the drivers, compiled against that version */
export function javaDriver(version, generation, scratch) {
  const lib = jars(version)
  const classes = join(scratch, `classes-${version}`)
  mkdirSync(classes)
  const folders = ['common', generation].map((folder) => join(here, 'java', folder))
  const sources = folders.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
  run('javac', ['-nowarn', '-encoding', 'UTF-8', '-cp', lib, '-d', classes, ...sources])
  return `${classes}:${lib}`
}

/** @returns path of the built Go driver */
export function goDriver(scratch) {
  const program = join(scratch, 'go-driver')
  run('go', ['build', '-o', program, '.'], { cwd: join(here, 'go') })
  return program
}

/** @returns folder of the ali-ons driver with its packages installed as its lockfile says */
export function aliOnsDriver(scratch) {
  const folder = join(scratch, 'ali-ons')
  cpSync(join(here, 'ali-ons'), folder, { recursive: true })
  run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder })
  return folder
}

/** Options a JVM of ours gets: small, and with its logs and offset files in the run's own folder. */
export function jvmOptions(scratch, name) {
  const home = join(scratch, `home-${name}`)
  mkdirSync(join(home, 'conf'), { recursive: true })
  writeFileSync(join(home, 'conf/logback_tools.xml'), '<configuration><root level="WARN"/></configuration>\n')
  return [
    ...['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Duser.home=${home}`],
    ...[`-Drocketmq.client.localOffsetStoreDir=${join(home, 'offsets')}`, `-Drocketmq.log.dir=${home}`],
    ...[`-Drocketmq.client.logRoot=${home}`, `-Drocketmq.home.dir=${home}`],
  ]
}
