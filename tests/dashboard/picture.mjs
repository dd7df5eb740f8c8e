// Draws the dashboard: picture.mjs DASHBOARD.json DIRECTORY PICTURE.png
// DIRECTORY has the packages of package.json, and answers.json as TestDashboardPicture writes
// it. It gets the page.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, extname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { heightOf, width } from './layout.js';

const [dashboard, directory, picture] = process.argv.slice(2).map((name) => resolve(name));
const modules = join(directory, 'node_modules');
const page = join(directory, 'page');
const require = createRequire(join(directory, 'package.json'));

// bundle writes the page. Of Grafana's libraries it takes the CommonJS builds: what the others
// import by default of CommonJS packages is not what esbuild gives a module of Node's.
async function bundle() {
  const alias = { 'dashboard.json': dashboard, 'answers.json': join(directory, 'answers.json') };
  for (const name of ['data', 'schema', 'ui']) {
    alias[`@grafana/${name}`] = join(modules, `@grafana/${name}/dist/cjs/index.cjs`);
  }
  mkdirSync(page, { recursive: true });
  await require('esbuild').build({
    entryPoints: [join(dirname(fileURLToPath(import.meta.url)), 'page.jsx')],
    outdir: page,
    bundle: true,
    jsx: 'automatic',
    nodePaths: [modules],
    alias,
    loader: { '.ttf': 'file', '.woff': 'file', '.woff2': 'file' },
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    logLevel: 'warning',
  });
  const parts = ['<link rel="stylesheet" href="page.css">', '<div id="root"></div>', '<script src="page.js"></script>'];
  writeFileSync(
    join(page, 'index.html'),
    `<!doctype html><meta charset="utf-8"><body style="margin: 0">${parts.join('')}`
  );
}

// serve gives the page to the browser, and Grafana's icons, which are asked for by their path.
function serve() {
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
  const icons = join(modules, '@grafana/ui/dist/public/img/icons');
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://page').pathname));
    const icon = path.match(/\/img\/icons(\/.*)/);
    try {
      const text = readFileSync(icon ? join(icons, icon[1]) : join(page, path));
      response.writeHead(200, { 'Content-Type': types[extname(path)] ?? 'application/octet-stream' }).end(text);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((listens) => server.listen(0, '127.0.0.1', () => listens(server)));
}

// photograph returns what the browser shows, and what its console complains of.
async function photograph(address) {
  const file = join(directory, 'page.png');
  const height = heightOf(JSON.parse(readFileSync(dashboard)).panels);
  const { stderr } = await promisify(execFile)('chromium', [
    '--headless',
    '--no-sandbox',
    '--hide-scrollbars',
    '--enable-logging=stderr',
    `--user-data-dir=${join(directory, 'chromium')}`,
    `--window-size=${width},${height}`,
    '--virtual-time-budget=20000',
    `--screenshot=${file}`,
    address,
  ]);
  return { image: readFileSync(file), complaints: stderr.split('\n').filter((line) => line.includes(':CONSOLE')) };
}

// fewerColours makes an image of 256 colours.
function fewerColours(image) {
  const png = require('upng-js');
  const { width, height, ...decoded } = png.decode(image);
  return Buffer.from(png.encode(png.toRGBA8({ width, height, ...decoded }), width, height, 256));
}

await bundle();
const server = await serve();
const { image, complaints } = await photograph(`http://127.0.0.1:${server.address().port}/index.html`);
server.close();
if (complaints.length > 0) {
  console.error(complaints.join('\n'));
  process.exit(1);
}
writeFileSync(picture, fewerColours(image));
