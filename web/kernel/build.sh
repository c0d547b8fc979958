#!/bin/sh
# Compile products.c and products.h into src/kernel-code.js. Needs clang and lld.
set -eu
cd "$(dirname "$0")"
code=$(mktemp)
clang --target=wasm32 -Os -msimd128 -mbulk-memory -fno-builtin -nostdlib -Wall -Werror \
  -Wl,--no-entry -Wl,--import-memory -Wl,--strip-all -Wl,-z,stack-size=4096 -o "$code" products.c
{
  echo "/** \`kernel/products.c\`, compiled by \`npm run kernel\`; the source's SHA-256 is"
  echo " * $(cat products.c products.h | sha256sum | cut -d ' ' -f 1). */"
  echo "export const CODE ="
  base64 -w 90 "$code" | sed 's/.*/  "&" +/; $s/ +$/;/'
} > ../src/kernel-code.js
rm "$code"
