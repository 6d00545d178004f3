// Package linktest is a one-way link in memory for tests: seeded loss, bursts,
// reordering, duplication and corruption, and errors of the near interface.
//
//	Write ─> fate of the datagram (seed) ─> bounded queue ─> Read
//
// What happens to a datagram depends on the seed and on how many came before
// it, never on time. It serves send.PacketWriter and recv.PacketReader, works
// inside a testing/synctest bubble, and must not be used outside tests.
package linktest
