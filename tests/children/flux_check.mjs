// Whether queries are Flux, by the language's own parser: reads a JSON list from its input, prints a JSON list of booleans.
//
//     node flux_check.mjs PACKAGE SCRATCH
//
// The package (@influxdata/flux-lsp-browser) is made for bundlers, which link its WebAssembly; here that is done by hand.
import { readFileSync, writeFileSync } from 'fs';
import { pathToFileURL } from 'url';

const [, , pack, scratch] = process.argv;
const glue = readFileSync(`${pack}/flux-lsp-browser_bg.js`, 'utf8');
const atOnce = /^cached\w+ = new .*wasm\.memory.*$/gm; // wants what is linked only afterwards
const views = (glue.match(atOnce) ?? []).join(' ');
const linked = glue
  .replace(atOnce, '')
  .replace(/^import \* as wasm from .*$/m, `let wasm; export function link(it) { wasm = it; ${views} }`);
writeFileSync(`${scratch}/glue.mjs`, linked);
const flux = await import(pathToFileURL(`${scratch}/glue.mjs`));
const binary = readFileSync(`${pack}/flux-lsp-browser_bg.wasm`);
const { instance } = await WebAssembly.instantiate(binary, { './flux-lsp-browser_bg.js': flux });
flux.link(instance.exports);
const queries = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify(queries.map((query) => flux.is_valid_flux(query))));
