// franz-go against a broker.
//
//	franz-go scenarios BOOTSTRAP                               prints one PASS or FAIL line for each scenario
//	franz-go writer BOOTSTRAP TOPIC PARTITIONS NAME HISTORY    writes unique values until its stdin ends
//	franz-go member BOOTSTRAP TOPIC GROUP NAME HISTORY         processes and commits as a member of a group until its stdin ends
//	franz-go copier BOOTSTRAP INPUT OUTPUT GROUP TRANSACTIONAL_ID INSTANCE HISTORY
//	                                                           consumes and produces in transactions until its stdin ends
package main

import (
	"fmt"
	"os"
)

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "scenarios":
		os.Exit(scenarios(os.Args[2]))
	case len(os.Args) == 7 && os.Args[1] == "writer":
		if err := writer(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) == 7 && os.Args[1] == "member":
		if err := groupMember(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) == 9 && os.Args[1] == "copier":
		if err := copier(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7], os.Args[8]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: franz-go scenarios BOOTSTRAP | writer BOOTSTRAP TOPIC PARTITIONS NAME HISTORY | member BOOTSTRAP TOPIC GROUP NAME HISTORY | copier BOOTSTRAP INPUT OUTPUT GROUP TRANSACTIONAL_ID INSTANCE HISTORY")
		os.Exit(2)
	}
}
