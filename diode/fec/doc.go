// Package fec protects blocks of shards with systematic Reed-Solomon codes.
//
//	K data shards ──┬───────────────────────────> K data shards, as they are
//	                └─ Encode ─> M parity shards ─> M parity shards
//	any K of the K+M shards ─ Reconstruct ─> the missing data shards
//
// Small blocks use a classic code over GF(2^8) with a Cauchy matrix, whose
// parity fits the block's size; bulk blocks use Leopard GF8, which is several
// times faster from 64 shards on. It must not be fed shards that were not
// authenticated: Reed-Solomon corrects erasures, not lies. It is the only
// importer of klauspost/reedsolomon.
package fec
