package sdk_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/sdk/sdktest/mock"
)

func TestMain(m *testing.M) {
	mock.Main() // when this is the process of a plugin
	goleak.VerifyTestMain(m)
}
