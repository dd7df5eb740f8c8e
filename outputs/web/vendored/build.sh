#!/bin/sh
# Makes assets/vendor.js of the npm modules in package.json, and modules.txt and licences/,
# which flowgraf licences is made of. Only who changes a version runs it: the result is
# committed. It needs node and npm.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
esbuild=$(ls node_modules/@esbuild/*/bin/esbuild)
chmod +x "$esbuild"
"$esbuild" entry.js --bundle --format=esm --minify --legal-comments=none --metafile=meta.json --outfile=../assets/vendor.js
rm -rf licences modules.txt
node -e '
const fs = require("fs");
const names = new Set(Object.keys(JSON.parse(fs.readFileSync("meta.json")).inputs)
	.map(f => (/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(f) || [])[1]).filter(Boolean));
for (const name of [...names].sort()) {
	const { version } = JSON.parse(fs.readFileSync(`node_modules/${name}/package.json`));
	fs.appendFileSync("modules.txt", `${name} ${version}\n`);
	fs.mkdirSync(`licences/${name}`, { recursive: true });
	for (const f of fs.readdirSync(`node_modules/${name}`))
		if (/^(licen[sc]e|notice|copying)/i.test(f) && fs.statSync(`node_modules/${name}/${f}`).isFile())
			fs.copyFileSync(`node_modules/${name}/${f}`, `licences/${name}/${f}`);
}'
rm -rf node_modules meta.json
