// Package reservetest gives tests a real disk that they can fill.
//
//	test ──> its own binary again, in a mount namespace ──> small file system ──> test
//
// It must not be imported by the product, and changes no mount of the machine:
// the file system is seen by the second process only, and ends with it.
package reservetest
