// Package proto holds the generated messages and services of the contract between core and plugins (plugin.proto).
// Nothing in it is written by hand; package sdk is the only one that a plugin author needs.
package proto
