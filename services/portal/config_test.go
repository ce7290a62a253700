package portal_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/portal"
)

func TestTheShippedConfigurationIsGood(t *testing.T) {
	var file service.File[portal.Config]
	if err := config.Load("../../deploy/config/portal.yaml", nil, &file); err != nil {
		t.Fatal(err)
	}
	if err := file.Service.Check(); err != nil {
		t.Error(err)
	}
	if len(file.Issuers) > 0 {
		t.Error("the portal verifies nobody, and starts with no issuers")
	}
}
