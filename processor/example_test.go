package processor_test

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
)

// Count the changes of a container. As many replicas as run this share the work:
// they need one Name and an Instance each.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	client := account(ctx) // azcosmos.NewClient("https://shop.documents.azure.com", credential, nil)
	orders, _ := client.NewContainer("shop", "orders")
	positions, _ := client.NewContainer("shop", "leases")

	var count atomic.Int64
	counter := processor.Each(func(_ context.Context, item processor.Item) error {
		if count.Add(1) == 3 {
			stop()
		}
		return nil // an error would bring the same item again
	})
	config := processor.DefaultConfig()
	config.Start = processor.FromBeginning()
	p, err := processor.New(config, leases.DefaultConfig(), counter, processor.Deps{
		Monitored: orders, Leases: positions, Endpoint: client.Endpoint(),
		Name: "order-counter", Instance: "pod-0",
	})
	if err == nil {
		err = p.Run(ctx) // until ctx ends
	}
	fmt.Println("orders changed:", count.Load(), err)
	// Output: orders changed: 3 <nil>
}

// account is an emulated account with three orders in it.
func account(ctx context.Context) *azcosmos.Client {
	emulator := cosmosemu.New(cosmosemu.Options{})
	on := int32(-1)
	if err := emulator.Create("shop",
		cosmosemu.Container{ID: "orders", PartitionKey: "/customer"},
		cosmosemu.Container{ID: "leases", PartitionKey: "/id", DefaultTTL: &on}); err != nil {
		panic(err)
	}
	credential, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		panic(err)
	}
	client, err := azcosmos.NewClientWithKey("http://example.library.test", credential, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: inproc.New(emulator)}})
	if err != nil {
		panic(err)
	}
	orders, err := client.NewContainer("shop", "orders")
	if err != nil {
		panic(err)
	}
	for _, id := range []string{"1", "2", "3"} {
		order := []byte(`{"id":"` + id + `","customer":"c"}`)
		if _, err := orders.CreateItem(ctx, azcosmos.NewPartitionKeyString("c"), order, nil); err != nil {
			panic(err)
		}
	}
	return client
}
