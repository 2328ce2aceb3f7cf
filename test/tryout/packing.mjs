// The packages as `npm pack` makes them, and a registry on 127.0.0.1 that has them and sends npm elsewhere for all others.
import { spawnSync } from 'node:child_process'
import { createReadStream, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Every package somebody may install: folder from the root, and its package.json. */
export function publishedPackages() {
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return workspaces
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) }))
    .filter(({ manifest }) => manifest.private !== true)
}

/** @returns what npm says of each tarball: name, version, filename, integrity, shasum, files */
export function pack(destination) {
  const chosen = publishedPackages().map(({ folder }) => `--workspace=${folder}`)
  const where = destination === undefined ? ['--dry-run'] : ['--pack-destination', destination]
  const { status, stdout, stderr } = spawnSync('npm', ['pack', '--json', '--ignore-scripts', ...where, ...chosen], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`)
  const said = JSON.parse(stdout)
  return Array.isArray(said) ? said : Object.values(said)
}

/** @returns the registry's URL and its end */
export async function startRegistry(tarballs, directory, upstream) {
  const manifests = new Map(publishedPackages().map(({ manifest }) => [manifest.name, manifest]))
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname).slice(1)
    const file = tarballs.find(({ filename }) => path === `tarballs/${filename}`)
    if (file !== undefined) return createReadStream(join(directory, file.filename)).pipe(response)
    const packed = tarballs.find(({ name }) => name === path)
    if (packed === undefined) return response.writeHead(302, { location: new URL(request.url, upstream).href }).end()
    const { name, version, filename, integrity, shasum } = packed
    const dist = { tarball: `${url}/tarballs/${filename}`, integrity, shasum }
    const versions = { [version]: { ...manifests.get(name), dist } }
    // The same port may belong to another build tomorrow.
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${server.address().port}`
  return { url, close: () => server.close() }
}
