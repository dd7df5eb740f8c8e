#!/bin/sh
# Makes assets/vendor.js, echarts.js and codemirror.js of the npm modules in package.json, and
# modules.txt and licences/,
# which flowgraf licences is made of. Only who changes a version runs it: the result is
# committed. It needs node and npm.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
esbuild=$(ls node_modules/@esbuild/*/bin/esbuild)
chmod +x "$esbuild"
bundle() {
	"$esbuild" "$1.js" --bundle --format=esm --minify --legal-comments=none "--metafile=$1.meta.json" "--outfile=../assets/$2.js"
}
bundle entry vendor
bundle charts echarts
bundle editor codemirror
rm -rf licences modules.txt
node -e '
const fs = require("fs");
const names = new Set(["entry", "charts", "editor"]
	.flatMap(f => Object.keys(JSON.parse(fs.readFileSync(`${f}.meta.json`)).inputs))
	.map(f => (/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(f) || [])[1]).filter(Boolean));
for (const name of [...names].sort()) {
	const { version } = JSON.parse(fs.readFileSync(`node_modules/${name}/package.json`));
	fs.appendFileSync("modules.txt", `${name} ${version}\n`);
	fs.mkdirSync(`licences/${name}`, { recursive: true });
	for (const f of fs.readdirSync(`node_modules/${name}`))
		if (/^(licen[sc]e|notice|copying)/i.test(f) && fs.statSync(`node_modules/${name}/${f}`).isFile())
			fs.copyFileSync(`node_modules/${name}/${f}`, `licences/${name}/${f}`);
}'
rm -rf node_modules ./*.meta.json
