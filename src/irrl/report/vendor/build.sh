#!/usr/bin/env bash
# Makes echarts.js anew, byte for byte, from the npm registry's packages; and what licences ask for.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/entry.js" "$scratch"
cd "$scratch"
npm install --silent --no-save --ignore-scripts echarts@6.1.0 zrender@6.1.0 tslib@2.3.0 esbuild@0.28.2
node_modules/.bin/esbuild entry.js --bundle --minify --format=iife --global-name=echarts --target=es2019 \
  --charset=ascii --legal-comments=none --log-level=warning --outfile="$here/echarts.js" \
  --banner:js="/* Apache ECharts 6.1.0, Apache-2.0; zrender 6.1.0, BSD-3-Clause; tslib 2.3.0, 0BSD */"
for package in echarts zrender tslib; do
  printf '%s\n\n' "== $package =="
  cat node_modules/$package/LICENSE* $(ls node_modules/$package/NOTICE 2>/dev/null || true)
  echo
done >"$here/LICENSES"
cd "$here" && sha256sum echarts.js >echarts.js.sha256
