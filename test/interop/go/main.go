// Command interop runs scenarios of the Go client against a broker: interop NAMESERVER PREFIX [SCENARIO...].
// It prints `RESULT scenario ok|failed why` per scenario and `DONE` at the end.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

type scenario struct {
	name string
	run  func(w *world) error
}

// At a time; each scenario mostly waits.
const parallel = 6
const scenarioTime = 3 * time.Minute

func main() {
	rlog.SetLogLevel("error")
	nameServer, prefix, chosen := os.Args[1], os.Args[2], os.Args[3:]
	all := append(append(sends, consumes...), transactions...)
	slots := make(chan struct{}, parallel)
	var group sync.WaitGroup
	var alone *scenario
	for at := range all {
		one := all[at]
		if len(chosen) > 0 && !contains(chosen, one.name) {
			continue
		}
		// The restart hits every connection, so it runs when nothing else does.
		if one.name == "restart" {
			alone = &one
			continue
		}
		group.Add(1)
		go func() {
			defer group.Done()
			slots <- struct{}{}
			report(one, nameServer, prefix)
			<-slots
		}()
	}
	group.Wait()
	if alone != nil {
		report(*alone, nameServer, prefix)
	}
	fmt.Println("DONE")
}

func report(one scenario, nameServer, prefix string) {
	w := newWorld(nameServer, prefix, one.name)
	outcome := make(chan error, 1)
	go func() {
		defer func() {
			if broken := recover(); broken != nil {
				outcome <- fmt.Errorf("panic: %v", broken)
			}
		}()
		outcome <- one.run(w)
	}()
	var err error
	select {
	case err = <-outcome:
	case <-time.After(scenarioTime):
		err = fmt.Errorf("not done after %v", scenarioTime)
	}
	w.close()
	if err == nil {
		fmt.Printf("RESULT %s ok\n", one.name)
	} else {
		fmt.Printf("RESULT %s failed %s\n", one.name, strings.ReplaceAll(err.Error(), "\n", " | "))
	}
}

var input = bufio.NewReader(os.Stdin)

// ask wants something of the program that started this one and waits until it is done.
func ask(what string) error {
	fmt.Printf("ASK %s\n", what)
	_, err := input.ReadString('\n')
	return err
}

func contains(list []string, name string) bool {
	for _, one := range list {
		if one == name {
			return true
		}
	}
	return false
}
