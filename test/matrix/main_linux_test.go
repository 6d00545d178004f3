package matrix_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// atOnce is how many cells are measured side by side: they mostly wait.
const atOnce = "24"

func TestMain(m *testing.M) {
	printed := flag.Bool("matrix", false, "print the emission table at the end")
	flag.Parse()
	if err := sideBySide(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if *printed {
		report().print(os.Stdout)
	}
	os.Exit(code)
}

// sideBySide lets parallel tests run side by side, unless told otherwise.
func sideBySide() error {
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if told {
		return nil
	}
	return flag.Set("test.parallel", atOnce)
}
