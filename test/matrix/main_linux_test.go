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

// matrixFlag names the file that the emission table is written to.
const matrixFlag = "matrix"

func TestMain(m *testing.M) {
	if code, is := verb(); is {
		os.Exit(code)
	}
	flag.String(matrixFlag, "", "`file` that the emission table is written to")
	flag.Parse()
	if err := sideBySide(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m)
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
