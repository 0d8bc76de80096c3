// Times ccxt's parseTickers of a `ticker/24hr` body, JSON.parse included, beside our decoder's figures of the same run.
//
//   node compare.mjs BODY_FILE FIGURES_FILE
//
// BODY_FILE is what `decode_throughput` wrote, FIGURES_FILE what it printed: a name and a number on each line.

import { readFileSync } from 'node:fs';
import ccxt from 'ccxt';

const ROUNDS = 7;
const ROUND_MS = 700;

const [bodyFile, figuresFile] = process.argv.slice(2);
const body = readFileSync(bodyFile, 'utf8');
const ours = Object.fromEntries(
    readFileSync(figuresFile, 'utf8').trim().split('\n').map((line) => line.split(' ')).map(([name, value]) => [name, Number(value)]),
);

const exchange = new ccxt.binance();
const count = Object.keys(exchange.parseTickers(JSON.parse(body))).length;

// The best of the rounds, as on the other side.
let best = Infinity;
for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    let runs = 0;
    while (performance.now() - start < ROUND_MS) {
        exchange.parseTickers(JSON.parse(body));
        runs += 1;
    }
    best = Math.min(best, (performance.now() - start) / runs);
}

const bytes = Buffer.byteLength(body);
const megabytesPerSecond = bytes / best / 1e3;
const ratio = (a, b) => `${(a / b).toFixed(2)} times`;
console.log(`ccxt ${ccxt.version} parseTickers: ${megabytesPerSecond.toFixed(1)} MB/s, ${Math.round((count / best) * 1e3)} tickers/s`);
console.log(`our decoder: ${ours.decode_mb_per_s} MB/s, ${ours.decode_tickers_per_s} tickers/s`);
console.log(`against ccxt: ${ratio(ours.decode_mb_per_s, megabytesPerSecond)}`);
console.log(`against sonic-rs checking and dropping the text: ${ratio(ours.decode_mb_per_s, ours.sonic_skip_mb_per_s)}`);
console.log(`against sonic-rs visiting every key and value: ${ratio(ours.decode_mb_per_s, ours.sonic_walk_mb_per_s)}`);
console.log(`against sonic-rs building a tree of values: ${ratio(ours.decode_mb_per_s, ours.sonic_value_mb_per_s)}`);
